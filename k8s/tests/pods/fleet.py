"""Real servers on 127.0.0.2, .3 and .4, which share a journal: what pods are to a cluster."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import grpc
import yaml

import moa
from k8s.tests.pods.names import Names
from moa.channel import OPTIONS

SERVER = Path(sys.executable).with_name("moa-server")
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


def free_port() -> int:
    """Return a port that is free on every pod's address: pods share the number."""
    while True:
        with _Held() as held:
            port = held.bind("127.0.0.1", 0)
            if all(held.bind(address, port) for address in ADDRESSES):
                return port


class _Held:
    """Holds sockets for a moment."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            one.close()

    def bind(self, address: str, port: int) -> int:
        """Return the port, or 0 where it is taken."""
        one = socket.socket()
        self._sockets.append(one)
        try:
            one.bind((address, port))
        except OSError:
            return 0
        bound: int = one.getsockname()[1]
        return bound


class Pod:
    """One server process."""

    def __init__(self, address: str, folder: Path, config: dict[str, Any]) -> None:
        self.address = address
        self._config = folder / f"{address}.yaml"
        self._config.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._log = folder / f"{address}.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                SERVER, "serve", "--config", self._config, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        assert b"ready" in await self._process.stdout.readline(), self._log.read_text(encoding="utf-8")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()

    async def close(self) -> None:
        if self._process is not None:
            await self.stop(signal.SIGKILL)

    def answered(self) -> int:
        """Return how many runs it has carried to their answer."""
        return self._count("run.succeeded")

    def _count(self, event: str) -> int:
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        return sum(json.loads(line).get("event") == event for line in lines if line.startswith("{"))


class Fleet:
    """Several pods, their name, and a caller's channel to them."""

    def __init__(
        self, folder: Path, models: str, *, server: dict[str, Any] | None = None, journal: str = "sqlite"
    ) -> None:
        self.port = free_port()
        self.names = Names([])
        config = settings(
            models, {"sqlite": {"path": str(folder / "journal.db")}} if journal == "sqlite" else {"memory": {}}
        )
        self.pods = []
        for address in ADDRESSES:
            listening = {"listen": f"{address}:{self.port}", "drain_grace": 30, **(server or {})}
            self.pods.append(Pod(address, folder, {**config, "server": listening}))
        self._stack = AsyncExitStack()
        self._config = folder / f"{ADDRESSES[0]}.yaml"

    async def __aenter__(self) -> Self:
        migrating = await asyncio.create_subprocess_exec(SERVER, "migrate", "--config", self._config)
        assert await migrating.wait() == 0
        await self._stack.enter_async_context(self.names)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(pod.close() for pod in self.pods))
        await self._stack.aclose()

    async def start(self, pods: Sequence[Pod]) -> None:
        """Start pods and, once they are ready, give their addresses to the name."""
        await asyncio.gather(*(pod.start() for pod in pods))
        self.names.addresses = sorted({*self.names.addresses, *(pod.address for pod in pods)})

    def forget(self, pod: Pod) -> None:
        """Take a pod's address from the name, as happens to one that is about to leave."""
        self.names.addresses = [address for address in self.names.addresses if address != pod.address]

    async def roll(self, pod: Pod) -> None:
        """Replace a pod by another at its address, the way a roll-out does."""
        self.forget(pod)
        assert await pod.stop() == 0
        await self.start([pod])

    async def caller(self) -> moa.AsyncClient:
        """Return the client that internal services use, which asks for the name more often than every 30 s."""
        target = f"dns://127.0.0.1:{self.names.port}/moa-server-headless.moa.test:{self.port}"
        options = [*OPTIONS, ("grpc.dns_min_time_between_resolutions_ms", 200)]
        channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(target, options=options))
        return moa.AsyncClient(channel, timeout=50)

    def answered(self) -> list[int]:
        return [pod.answered() for pod in self.pods]


def settings(models: str, journal: dict[str, Any]) -> dict[str, Any]:
    def model(name: str) -> dict[str, Any]:
        return {"provider": "openai", "endpoint": models, "model": name, "window": 8192}

    return {
        "models": {
            "quick": model("words-2-every-1ms"),
            "slow": model("words-40-every-100ms"),
            "long": model("words-17-every-1000ms"),
        },
        "agents": {name: {"model": name, "sampling": {"max_tokens": 256}} for name in ("quick", "slow", "long")},
        "mixtures": {
            name: {"strategy": "aggregate", "layers": [["quick"]], "aggregator": name}
            for name in ("quick", "slow", "long")
        },
        "limits": {"run_time": {"maximum": 60, "default": 60}},
        "journal": journal,
        "telemetry": {"log_form": "json"},
    }
