"""Stands around every call: shows it, ends it with a typed status, knows its caller, limits the number.

One interceptor made of small parts, since three of gRPC's own cost a sixth of a call.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from moa_server.domain.errors import InvalidRequest, Overloaded, Violation
from moa_server.service.admission import Admission
from moa_server.service.call import Context, RpcCall, enter
from moa_server.service.call_telemetry import CallTracing
from moa_server.service.status import typed_end

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Found: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
_PASSING: Final = "/grpc.health.v1.Health/"
"""Probes bring no token, and are answered however busy the server is."""


class Interceptor(grpc.aio.ServerInterceptor):
    """Stands around every call but those for the health."""

    def __init__(self, admission: Admission, *, longest_write_s: float = 30.0) -> None:
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
        guard = self._guard_stream if handler.response_streaming else self._guard_unary
        guarded = self._guarded[method] = guard(handler, method.removeprefix("/"))
        return guarded

    @asynccontextmanager
    async def _around(self, method: str, context: Context) -> AsyncIterator[None]:
        call = RpcCall(method, context)
        with self._tracing.shown(call):
            async with typed_end(call):
                self._admission.identify(call)
                with self._admission.admitted():
                    enter(call)
                    yield

    # Messages are read and written within, so that what cannot be read is refused like anything else.

    def _guard_unary(self, handler: Handler, method: str) -> Handler:
        inner: Any = handler.unary_unary

        async def answer(raw: bytes, context: Context) -> bytes | None:
            written: bytes | None = None
            async with self._around(method, context):
                response = await inner(_read(handler, raw), context)
                written = response.SerializeToString()
            return written  # noqa: RET504 - none when the call was ended with a status

        return grpc.unary_unary_rpc_method_handler(answer)

    def _guard_stream(self, handler: Handler, method: str) -> Handler:
        inner: Any = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(sent: Any, context: Context) -> None:  # noqa: ANN401 - bytes, or a stream of messages
            async with self._around(method, context):
                request = sent if handler.request_streaming else _read(handler, sent)
                async with aclosing(inner(request, context)) as messages:
                    await write_all(messages, context, self._longest_write_s)

        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(stream, request_deserializer=handler.request_deserializer)
        return grpc.unary_stream_rpc_method_handler(stream)


def _read(handler: Handler, raw: bytes) -> Any:  # noqa: ANN401 - the message of the method
    read: Any = handler.request_deserializer
    try:
        return read(raw)
    except DecodeError:
        wrong = Violation("request", "is not a message of this method")
        raise InvalidRequest("the request cannot be read", violations=(wrong,)) from None


async def write_all(messages: AsyncGenerator[Message, None], context: Context, longest_s: float) -> None:
    """Write every message; what has been written and not been read waits with the transport, up to some MiB.

    Raises:
        Overloaded: the caller did not read for the longest time, or up to a half more.
    """
    patience = _Patience(longest_s)
    try:
        async with patience.limit:
            async for message in messages:
                patience.begin()
                await context.write(message.SerializeToString())
                patience.end()
    except TimeoutError:
        if not patience.limit.expired():
            raise
        raise Overloaded(
            f"the stream was not read for {longest_s:g} s; resume it after the last event",
            metadata={"limit": "unread_stream"},
        ) from None
    finally:
        patience.stop()


class _Patience:
    """Looks now and then whether a write is stuck: a timer for each would cost as much as a small write."""

    def __init__(self, longest_s: float) -> None:
        self.limit = asyncio.timeout(None)
        """Over when a write is stuck."""
        self._longest_s = longest_s
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None
        self._timer = self._loop.call_later(longest_s / 2, self._look)

    def begin(self) -> None:
        self._began = self._loop.time()

    def end(self) -> None:
        self._began = None

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if self._began is not None and now - self._began >= self._longest_s:
            self.limit.reschedule(now)
        else:
            self._timer = self._loop.call_later(self._longest_s / 2, self._look)
