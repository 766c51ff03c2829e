"""The scripted upstream itself: a loopback HTTP/1.1 server on asyncio's bare protocols."""

import asyncio
import contextlib
import inspect
import ssl
from collections.abc import Awaitable, Callable
from typing import Self, cast

from tests.upstream.connection import Connection
from tests.upstream.ledger import Call
from tests.upstream.scripts import Script, Status
from tests.upstream.stage import Player, Request, Stage

_NOBODY = Status(404, error_code="model_not_found", message="no such model")


class Upstream:
    """A model endpoint that does what it is told, and remembers.

    ``script("m", a, b)`` answers the first call for model ``m`` with ``a`` and all later ones with ``b``.
    The model ``*`` stands for those without a script of their own.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.calls: list[Call] = []
        """Every call, in the order of arrival."""
        self.remembers = True
        """Whether calls that are over are kept; a long measurement turns it off."""
        self.open_connections = 0
        self.connections = 0
        """Ever made."""
        self._tls = tls
        self._host = host
        self._port = port
        self._scripts: dict[str, list[Script]] = {}
        self._server: asyncio.Server | None = None
        self._protocols: set[Connection] = set()
        self._changed = asyncio.Event()
        self._watched = False
        self._numbers = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), self._host, self._port, ssl=self._tls, backlog=4096
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [protocol.shut() for protocol in tuple(self._protocols)]
        await asyncio.gather(*(task for task in tasks if task), return_exceptions=True)
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def endpoint(self) -> str:
        """The base of its addresses, for every dialect."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}/v1"

    @property
    def open_calls(self) -> list[Call]:
        """The calls that are under way."""
        return [call for call in self.calls if call.open]

    def calls_of(self, model: str) -> list[Call]:
        """Return the calls for one model."""
        return [call for call in self.calls if call.model == model]

    def script(self, model: str, *scripts: Script) -> None:
        """Say what is to be done with the calls for a model."""
        self._scripts[model] = list(scripts)

    def unscript(self) -> None:
        """Forget what was to be done."""
        self._scripts.clear()

    async def wait_for(self, condition: Callable[[], object], timeout: float = 30.0) -> None:
        """Wait until something about the calls or connections is so."""
        self._watched = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        assert condition(), f"it did not come true within {timeout} s: {inspect.getsource(condition).strip()}"

    def drop_connections(self) -> None:
        """Close every connection now, kept ones too."""
        for protocol in tuple(self._protocols):
            protocol.shut()

    def changed(self) -> None:
        """Wake whoever waits for a condition."""
        if self._watched:
            self._changed.set()

    def connected(self, protocol: Connection) -> int:
        """Count a connection and return its number."""
        self._protocols.add(protocol)
        self.open_connections += 1
        self.connections += 1
        self.changed()
        return self.connections - 1

    def disconnected(self, protocol: Connection) -> None:
        """Count a connection out."""
        self._protocols.discard(protocol)
        self.open_connections -= 1
        self.changed()

    def enter(self, request: Request, connection: int) -> Call:
        """Enter a call in the ledger."""
        now = asyncio.get_running_loop().time()
        call = Call(self._numbers, connection, request.path, request.headers, request.body, request.asked(), now)
        self._numbers += 1
        if self.remembers:
            self.calls.append(call)
        self.changed()
        return call

    async def play(self, stage: Stage) -> None:
        """Carry out the script for a call."""
        script = self._next(stage.request.model)
        if isinstance(script, Player):
            await script.play(stage)
        elif inspect.iscoroutinefunction(script):
            await cast("Callable[[Stage], Awaitable[None]]", script)(stage)
        else:
            await cast("Callable[[Request], Player]", script)(stage.request).play(stage)

    def _next(self, model: str) -> Script:
        scripts = self._scripts.get(model) or self._scripts.get("*") or [_NOBODY]
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]
