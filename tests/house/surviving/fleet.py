"""Servers that share a journal, a scripted upstream under them, and callers who reach all of them."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no stubs

from moa import AsyncClient
from tests.house.servers import COMMAND, Server, write
from tests.upstream import Upstream

OWNERSHIP_S = 1.0
PATIENCE_S = 30.0
_BETWEEN_S = 0.003
_NO_COMMIT_S = 1.5
VOICES = ("a", "b", "c", "boss")


def configuration(endpoint: str, journal: dict[str, Any]) -> dict[str, Any]:
    """Three proposers in one layer, the same three in two, and nobody but the one who answers."""
    proposers = list(VOICES[:-1])
    mixture = {"strategy": "aggregate", "aggregator": "boss", "rules": {"restart_answer": True}}
    return {
        "models": {name: {"provider": "openai", "endpoint": endpoint, "model": name} for name in VOICES},
        "agents": {name: {"model": name} for name in VOICES},
        "mixtures": {
            "panel": {**mixture, "layers": [proposers]},
            "deep": {**mixture, "layers": [proposers, proposers]},
            "alone": {**mixture, "layers": []},
        },
        "server": {"listen": "127.0.0.1:0", "drain_grace": "0s"},
        "telemetry": {"log_form": "json"},
        "journal": {**journal, "ownership": OWNERSHIP_S},
    }


@dataclass
class Fleet:
    """The servers, in the order in which they were started."""

    folder: Path
    upstream: Upstream
    journal: dict[str, Any]
    stack: AsyncExitStack
    servers: list[Server] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    command: tuple[str, ...] = (COMMAND,)
    """What the servers are started by."""

    async def start(self, number: int = 2, **sections: Any) -> "list[Server]":  # noqa: ANN401
        """Start more servers, all at once."""
        document = configuration(self.upstream.endpoint, self.journal) | sections
        names = (f"moa{next(self.numbers)}.yaml" for _ in range(number))
        started = [Server(write(self.folder, document, name), command=self.command) for name in names]
        for server in started:
            self.stack.callback(server.close)
        self.servers += [await asyncio.to_thread(server.ready) for server in started]
        return started

    @property
    def alive(self) -> list[Server]:
        return [server for server in self.servers if server.process.poll() is None]

    async def client(self, *servers: Server) -> AsyncClient:
        """Return a caller of these servers, or of all that are alive."""
        addresses = ",".join(server.target for server in servers or self.alive)
        return await self.stack.enter_async_context(AsyncClient(f"ipv4:{addresses}"))

    async def owner(self, of: Callable[[Server], bool] = lambda _: True) -> Server:
        """Return the server that speaks with the upstream."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for server in self.alive:
                    if of(server) and self._speaks(server):
                        return server
                await asyncio.sleep(0.02)

    def _speaks(self, server: Server) -> bool:
        process = psutil.Process(server.process.pid)
        if process.status() == psutil.STATUS_STOPPED:
            return False
        found = process.net_connections("tcp")
        return any(one.raddr and one.raddr.port == self.upstream.port for one in found if one.status == "ESTABLISHED")


@asynccontextmanager
async def fleet_on(folder: Path, journal: dict[str, Any]) -> AsyncIterator[Fleet]:
    """Serve on a journal; what was started ends with the context."""
    async with Upstream() as upstream, AsyncExitStack() as stack:
        yield Fleet(folder, upstream, journal, stack)


def freeze(server: Server) -> None:
    server.process.send_signal(signal.SIGSTOP)


def thaw(server: Server) -> None:
    server.process.send_signal(signal.SIGCONT)


async def freeze_in_a_write(server: Server, path: Path) -> float:
    """Freeze a server again and again, until it is in the middle of a write to an SQLite file; return since when."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            since = time.monotonic()
            freeze(server)
            if await asyncio.to_thread(_is_held, path):
                return since
            thaw(server)
            await asyncio.sleep(_BETWEEN_S)


def _is_held(path: Path) -> bool:
    """Tell whether somebody keeps the file's lock for longer than commits take."""
    with closing(sqlite3.connect(path, timeout=_NO_COMMIT_S, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
    return False
