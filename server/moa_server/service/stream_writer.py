"""Writes a stream to its caller, who may read slowly, but not for ever not at all."""

import asyncio
from collections.abc import AsyncGenerator

from google.protobuf.message import Message

from moa_server.domain.errors import Overloaded
from moa_server.service.call import Context


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
