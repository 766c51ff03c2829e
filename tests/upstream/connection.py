"""One connection of the scripted upstream: parses requests, plays their scripts, and notices when the caller goes."""

import asyncio
import json
from typing import TYPE_CHECKING, cast

from tests.upstream.ledger import Call
from tests.upstream.stage import Request, Stage

if TYPE_CHECKING:
    from tests.upstream.server import Upstream


class Connection(asyncio.Protocol):
    """HTTP/1.1 with kept connections, one request at a time."""

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._buffer = bytearray()
        self._request: tuple[str, dict[str, str], int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._call: Call | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._number = self._upstream.connected(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next_request()

    def eof_received(self) -> None:
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        self._upstream.disconnected(self)

    def shut(self) -> asyncio.Task[None] | None:
        """Close it now, and return what was playing."""
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()
        return self._task

    def _next_request(self) -> None:
        if self._request is None and not self._read_head():
            return
        path, headers, length = self._request or ("", {}, 0)
        if len(self._buffer) < length:
            return
        body, self._request = bytes(self._buffer[:length]), None
        del self._buffer[:length]
        request = Request(path, headers, _parsed(body))
        self._call = self._upstream.enter(request, self._number)
        stage = Stage(request, self._call, self._transport, self._upstream.changed)
        self._task = asyncio.get_running_loop().create_task(self._play(stage, self._call))

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self._request = (first.split(" ")[1], headers, int(headers.get("content-length", "0")))
        return True

    async def _play(self, stage: Stage, call: Call) -> None:
        try:
            await self._upstream.play(stage)
        finally:
            self._close(call)
        if stage.keeps_connection and not self._transport.is_closing():
            self._next_request()

    def _close(self, call: Call) -> None:
        self._task = self._call = None
        if call.closed is None:
            call.closed = asyncio.get_running_loop().time()
        self._upstream.changed()

    def _gone(self) -> None:
        if self._call is None or self._task is None:
            return
        call, task = self._call, self._task
        call.aborted = call.closed = asyncio.get_running_loop().time()
        task.cancel()
        self._upstream.changed()


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None
