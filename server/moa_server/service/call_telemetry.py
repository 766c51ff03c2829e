"""Shows each call: its span, its duration, and what is bound to the lines that are logged for it."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from grpc import StatusCode
from opentelemetry import metrics, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status
from opentelemetry.trace import StatusCode as SpanStatus

from moa_server.service.call import RpcCall
from moa_server.service.codes import FAULTS
from moa_server.telemetry import names
from moa_server.telemetry.buckets import RPC_SECONDS

_GRPC: Final = {names.RPC_SYSTEM: "grpc"}


class CallTracing:
    """Makes a span of each call and counts how long it took."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer(names.SERVICE_SCOPE)
        self._duration = metrics.get_meter(names.SERVICE_SCOPE).create_histogram(
            names.RPC_SERVER_DURATION,
            unit="s",
            description="How long calls took",
            explicit_bucket_boundaries_advisory=RPC_SECONDS,
        )

    @contextmanager
    def shown(self, call: RpcCall) -> Iterator[None]:
        """Show a call while it lasts."""
        structlog.contextvars.clear_contextvars()
        began = time.perf_counter()
        with self._tracer.start_as_current_span(
            call.method,
            context=propagate.extract(call.metadata()),
            kind=SpanKind.SERVER,
            attributes={**_GRPC, names.RPC_METHOD: call.method},
            record_exception=False,  # its text may quote what was asked
            set_status_on_exception=False,
        ) as span:
            _bind(call, span)
            try:
                yield
            except asyncio.CancelledError:
                call.code = _code_of_leaving(call)
                raise
            finally:
                _finish(call, span)
                self._duration.record(time.perf_counter() - began, _outcome(call))


def _bind(call: RpcCall, span: Span) -> None:
    found = span.get_span_context()
    if found.is_valid:
        call.trace_id = trace.format_trace_id(found.trace_id)
        call.traceparent = f"00-{call.trace_id}-{trace.format_span_id(found.span_id)}-{found.trace_flags:02x}"
    else:
        call.trace_id = secrets.token_hex(16)
    structlog.contextvars.bind_contextvars(**{names.LOG_TRACE_ID: call.trace_id})


def _code_of_leaving(call: RpcCall) -> StatusCode:
    left = call.time_left
    return StatusCode.DEADLINE_EXCEEDED if left is not None and left <= 0 else StatusCode.CANCELLED


def _outcome(call: RpcCall) -> dict[str, str]:
    outcome = {**_GRPC, names.RPC_METHOD: call.method, names.RPC_STATUS: call.code.name}
    if call.code is not StatusCode.OK:
        outcome[names.ERROR_TYPE] = call.code.name
    return outcome


def _finish(call: RpcCall, span: Span) -> None:
    if not span.is_recording():
        return
    span.set_attribute(names.RPC_STATUS, call.code.name)
    span.set_attribute(names.CALLER, call.caller.name)
    if call.code is not StatusCode.OK:
        span.set_attribute(names.ERROR_TYPE, call.code.name)
    if call.code in FAULTS or call.code is StatusCode.DEADLINE_EXCEEDED:
        span.set_status(Status(SpanStatus.ERROR))
