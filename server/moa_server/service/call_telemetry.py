"""Shows each call: its span, its duration, and what is bound to the lines that are logged for it."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from grpc import StatusCode
from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status
from opentelemetry.trace import StatusCode as SpanStatus

from moa_server.service.call import RpcCall
from moa_server.service.codes import FAULTS
from moa_server.telemetry import names


class CallTracing:
    """Makes a span of each call and counts how long it took."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer(names.SERVICE_SCOPE)
        self._duration = metrics.get_meter(names.SERVICE_SCOPE).create_histogram(
            names.RPC_SERVER_DURATION,
            unit="s",
            description="How long calls took",
            explicit_bucket_boundaries_advisory=names.RPC_SECONDS,
        )

    @contextmanager
    def shown(self, call: RpcCall) -> Iterator[None]:
        """Show a call while it lasts."""
        # A call's task begins with a copy of the server's own context: what was bound there is not the call's.
        structlog.contextvars.clear_contextvars()
        began = time.perf_counter()
        with self._tracer.start_as_current_span(
            call.method,
            context=propagate.extract(call.metadata()),
            kind=SpanKind.SERVER,
            attributes={names.RPC_SYSTEM: "grpc", names.RPC_METHOD: call.method},
            record_exception=False,  # its text may quote what was asked
            set_status_on_exception=False,
        ) as span:
            found = span.get_span_context()
            if found.is_valid:
                call.trace_id = trace.format_trace_id(found.trace_id)
                call.traceparent = f"00-{call.trace_id}-{trace.format_span_id(found.span_id)}-{found.trace_flags:02x}"
            else:  # nothing is traced here, and a caller has something to quote all the same
                call.trace_id = secrets.token_hex(16)
            structlog.contextvars.bind_contextvars(**{names.LOG_TRACE_ID: call.trace_id})
            try:
                yield
            except asyncio.CancelledError:
                late = call.time_left is not None and call.time_left <= 0
                call.code = StatusCode.DEADLINE_EXCEEDED if late else StatusCode.CANCELLED
                raise
            finally:
                self._finish(call, span, time.perf_counter() - began)

    def _finish(self, call: RpcCall, span: Span, seconds: float) -> None:
        error = {} if call.code is StatusCode.OK else {names.ERROR_TYPE: call.code.name}
        outcome = {names.RPC_STATUS: call.code.name, **error}
        if span.is_recording():
            span.set_attributes({names.CALLER: call.caller.name, **outcome})
            # A refusal is the caller's fault, and by the conventions no error of the server's span.
            if call.code in FAULTS or call.code is StatusCode.DEADLINE_EXCEEDED:
                span.set_status(Status(SpanStatus.ERROR))
        self._duration.record(seconds, {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: call.method, **outcome})
