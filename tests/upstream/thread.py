"""The scripted upstream in a thread with a loop of its own, for those that block or must not share theirs."""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.upstream.scripts import Script
from tests.upstream.server import Upstream


class UpstreamThread:
    """An upstream that needs no event loop of its user's."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="upstream", daemon=True)
        self.upstream: Upstream
        """Its ledger may be read at any time."""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    @property
    def endpoint(self) -> str:
        """The base of its addresses."""
        return self.upstream.endpoint

    def script(self, model: str, *scripts: Script) -> None:
        """Say what is to be done with the calls for a model."""
        self.upstream.script(model, *scripts)

    def drop_connections(self) -> None:
        """Close every connection, kept ones too, and return when they are closed."""
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(10)

    async def _drop(self) -> None:
        self.upstream.drop_connections()
        await self.upstream.wait_for(lambda: not self.upstream.open_connections)

    def begin_anew(self) -> None:
        """Forget the calls and the scripts."""
        self.upstream.calls.clear()
        self.upstream.unscript()

    def wait_for(self, condition: Callable[[], object], timeout: float = 30.0) -> None:
        """Wait until something about the calls or connections is so; blocks the thread it is called on."""
        waiting = self.upstream.wait_for(condition, timeout)
        asyncio.run_coroutine_threadsafe(waiting, self._loop).result(timeout + 10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        async with Upstream() as self.upstream:
            self._ready.set()
            await self._over.wait()
