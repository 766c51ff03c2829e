"""Runs a scripted moa on loopback."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc
from google.protobuf.message import Message

from moa.async_client import AsyncClient
from moa.errors import MoaError
from moa.sync_client import Client
from moa.terms import DEFAULT_TIMEOUT, Token
from moa.testing.runs import FakeRuns
from moa.testing.script import Fact, answered, failed
from moa.testing.servicer import ScriptedServicer, always_healthy
from moa.v1.event_pb2 import RunStarted
from moa.v1.moa_service_pb2_grpc import add_MoaServiceServicer_to_server
from moa.v1.plan_pb2 import Mixture, Plan
from moa.v1.run_pb2 import RunFailure

_THREADS = 64  # each stream under way holds one, and so does each channel that asks how the fake is
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """A call that the fake was sent."""

    method: str
    """The RPC's name, such as ``Query``."""
    request: Message
    """What was asked."""
    metadata: Mapping[str, str | bytes]
    """What the call carried."""


class FakeMoa:
    """A real server on a port of its own, which plays what it is told; without a script it says "an answer"."""

    def __init__(self) -> None:
        self.calls: list[Received] = []
        self.mixtures: list[Mixture] = []
        self.plan = Plan()
        self._runs = FakeRuns()
        self._server, port = self._listen(0)
        self.target = f"127.0.0.1:{port}"

    @property
    def left(self) -> int:
        """How many streams were left by their callers before the end."""
        return self._runs.left

    def client(self, *, token: Token | None = None, timeout: float | None = DEFAULT_TIMEOUT) -> Client:
        """Make a client for threads of this server."""
        return Client(self.target, token=token, timeout=timeout)

    def async_client(self, *, token: Token | None = None, timeout: float | None = DEFAULT_TIMEOUT) -> AsyncClient:
        """Make a client for coroutines of this server."""
        return AsyncClient(self.target, token=token, timeout=timeout)

    def answers(self, text: str, *, proposals: Mapping[str, str] | None = None) -> None:
        """Let the next run end with this answer, after a layer of these agents' proposals."""
        self.plays(answered(text, proposals=proposals))

    def fails(self, failure: MoaError | RunFailure) -> None:
        """Let the next run start and fail."""
        self.plays([RunStarted(), failed(failure)])

    def plays(self, facts: Iterable[Fact]) -> None:
        """Let the next run consist of these facts; without a terminal one it stays open."""
        self._runs.scripts.append(list(facts))

    def goes_on(self, *facts: Fact) -> None:
        """Let the run that was started last go on with these facts."""
        self._runs.extend(self._runs.newest(), facts)

    def refuses(self, error: MoaError) -> None:
        """Let the next call of any kind fail with this error; one with a ``retry_after`` the channel repeats itself."""
        self._runs.refusals.append(error)

    def cuts(self, *after: int) -> None:
        """Break the next streams, each after that many events."""
        self._runs.cuts.extend(after)

    def promises_heartbeats(self, period: float) -> None:
        """Let the next streams promise a heartbeat every so many seconds; none comes but those that are played."""
        self._runs.heartbeat_period = period

    def wait_left(self, count: int = 1) -> bool:
        """Wait until that many streams were left by their callers before the end; say whether they were."""
        with self._runs.changed:
            return self._runs.changed.wait_for(lambda: self._runs.left >= count, _PATIENCE)

    def wait_called(self, count: int = 1) -> bool:
        """Wait until that many calls have come; say whether they have."""
        with self._runs.changed:
            return self._runs.changed.wait_for(lambda: len(self.calls) >= count, _PATIENCE)

    def start(self) -> Self:
        """Start to serve."""
        self._server.start()
        return self

    def stop(self) -> None:
        """End every call and stop."""
        self._server.stop(None).wait(_PATIENCE)

    def restart(self) -> None:
        """Stop, and serve the same runs on the same port again, as a server with a journal does."""
        self.stop()
        self._server, _ = self._listen(int(self.target.rpartition(":")[2]))
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _note(self, method: str, request: Message, context: grpc.ServicerContext) -> None:
        metadata = {str(key): value for key, value in context.invocation_metadata()}
        with self._runs.changed:
            self.calls.append(Received(method, request, metadata))
            self._runs.changed.notify_all()

    def _listen(self, port: int) -> tuple[grpc.Server, int]:
        # so_reuseport would let a second fake take the same port unseen.
        server = grpc.server(ThreadPoolExecutor(_THREADS), options=[("grpc.so_reuseport", 0)])
        add_MoaServiceServicer_to_server(ScriptedServicer(self._runs, self._note, self.mixtures, self.plan), server)
        server.add_generic_rpc_handlers((always_healthy(self._runs),))
        return server, server.add_insecure_port(f"127.0.0.1:{port}")
