"""Stands around every call: shows it, ends it with a typed status, knows its caller, limits the number.

One interceptor made of small parts, since three of gRPC's own cost a sixth of a call.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from moa_server.domain.errors import InvalidRequest, Violation
from moa_server.service import call as calls
from moa_server.service.admission import Admission
from moa_server.service.border import typed_end
from moa_server.service.call import Context, RpcCall
from moa_server.service.call_telemetry import CallTracing
from moa_server.service.identity import Identity
from moa_server.service.stream_writer import write_all

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Found: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_PASSING: Final = "/grpc.health.v1.Health/"
"""Probes bring no token, and are answered however busy the server is."""


class Interceptor(grpc.aio.ServerInterceptor):
    """Stands around every call but those for the health."""

    def __init__(self, identity: Identity, admission: Admission, *, longest_write_s: float = 30.0) -> None:
        self._identity = identity
        self._admission = admission
        self._longest_write_s = longest_write_s
        self._tracing = CallTracing()
        self._guarded: dict[str, Handler] = {}
        """The handlers of known methods: there are as many as the service has."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Found]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Found:
        """Return the handler of a method, guarded; None, which is gRPC's way, where there is none."""
        method = handler_call_details.method
        if method in self._guarded:
            return self._guarded[method]
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(_PASSING):
            return handler
        guarded = self._guarded[method] = self._guard(handler, method.removeprefix("/"))
        return guarded

    def _guard(self, handler: Handler, method: str) -> Handler:
        # Messages are read and written within, so that what cannot be read is refused like anything else.
        if handler.request_streaming:
            return self._guard_both_ways(handler, method)
        if handler.response_streaming:
            return self._guard_stream(handler, method)
        return self._guard_unary(handler, method)

    @asynccontextmanager
    async def _around(self, method: str, context: Context) -> AsyncIterator[None]:
        call = RpcCall(method, context)
        with self._tracing.shown(call):
            async with typed_end(call):
                self._identity.establish(call)
                with self._admission.admitted():
                    calls.enter(call)
                    yield

    def _guard_unary(self, handler: Handler, method: str) -> Handler:
        inner: Any = handler.unary_unary

        async def answer(raw: bytes, context: Context) -> bytes | None:
            written: list[bytes] = []
            async with self._around(method, context):
                response = await inner(_read(handler, raw), context)
                written.append(response.SerializeToString())
            return written[0] if written else None  # none when the call was ended with a status

        return grpc.unary_unary_rpc_method_handler(answer)

    def _guard_stream(self, handler: Handler, method: str) -> Handler:
        inner: Any = handler.unary_stream

        async def stream(raw: bytes, context: Context) -> None:
            async with self._around(method, context), aclosing(inner(_read(handler, raw), context)) as messages:
                await write_all(messages, context, self._longest_write_s)

        return grpc.unary_stream_rpc_method_handler(stream)

    def _guard_both_ways(self, handler: Handler, method: str) -> Handler:
        inner: Any = handler.stream_stream

        async def stream(requests: Any, context: Context) -> None:  # noqa: ANN401 - whatever the method reads
            async with self._around(method, context), aclosing(inner(requests, context)) as messages:
                await write_all(messages, context, self._longest_write_s)

        return grpc.stream_stream_rpc_method_handler(stream, request_deserializer=handler.request_deserializer)


def _read(handler: Handler, raw: bytes) -> Any:  # noqa: ANN401 - the message of the method
    read: Any = handler.request_deserializer
    try:
        return read(raw)
    except DecodeError:
        wrong = Violation("request", "is not a message of this method")
        raise InvalidRequest("the request cannot be read", violations=(wrong,)) from None
