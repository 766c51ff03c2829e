"""One call under way: what the parts of the interceptor tell one another, and the handlers, about it."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from grpc import StatusCode
from grpc.aio import ServicerContext

from moa_server.security import ANONYMOUS, Caller

Context = ServicerContext[Any, Any]


@dataclass(slots=True)
class RpcCall:
    """A call under way."""

    method: str
    """Its full name, without the leading slash."""
    context: Context
    trace_id: str = ""
    """What a caller quotes when something broke."""
    traceparent: str = ""
    """The W3C trace context of what is done for it; empty where nothing is traced."""
    caller: Caller = ANONYMOUS
    code: StatusCode = StatusCode.OK
    """How it ended."""

    @property
    def time_left(self) -> float | None:
        """Seconds until its deadline; None when it has none."""
        left: float | None = self.context.time_remaining()
        return left

    def metadata(self) -> dict[str, str]:
        """Return what the caller sent beside the request, as far as it is text; of a repeated key, the last."""
        sent = self.context.invocation_metadata() or ()
        return {key: value for key, value in sent if isinstance(value, str)}


_current: ContextVar[RpcCall] = ContextVar("call")


def enter(call: RpcCall) -> None:
    """Make a call the current one of this task."""
    _current.set(call)


def current() -> RpcCall:
    """Return the call that this task answers."""
    return _current.get()
