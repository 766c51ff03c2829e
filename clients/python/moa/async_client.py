"""The client for coroutines."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

import grpc

from moa import requests
from moa.async_stream import AsyncCall, AsyncStream
from moa.cancellations import AsyncCancellations
from moa.channel import Tls, open_async
from moa.resume import Resume
from moa.terms import DEFAULT_TIMEOUT, Deadline, Terms, Token
from moa.translation import translated
from moa.v1 import moa_service_pb2 as pb
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa.v1.plan_pb2 import Mixture, Plan
from moa.v1.run_pb2 import Cursor, LayerResult, Run

if TYPE_CHECKING:
    from moa.v1.moa_service_pb2_grpc import MoaServiceAsyncStub


class AsyncClient:
    """Asks moa, from coroutines of one event loop. Everything that goes wrong is raised as a ``MoaError``.

    The target is ``host:port``, which is resolved to all its addresses, or a channel, which stays its owner's to close.
    """

    def __init__(
        self,
        target: str | grpc.aio.Channel,
        *,
        token: Token | None = None,
        tls: Tls | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        self._target = target
        self._tls = tls
        self._terms = Terms(token, timeout)
        self._cancellations = AsyncCancellations(
            lambda request_id, timeout: self.cancel(request_id=request_id, timeout=timeout)
        )

    async def query(self, question: requests.Question, **options: Unpack[requests.RunOptions]) -> pb.QueryResponse:
        """Ask, wait for the end, and return the answer with its layers; raise why there is none.

        An answer that broke off is lost with the error, whose ``partial_text`` is empty; ``synthesize`` keeps it.
        Cancelling the task that waits, and closing the client, cancel the run and its model calls, unless it is
        detached; a connection that breaks does not. ``synthesize`` is for those who may come back.
        """
        request = requests.query(question, options)
        terms = self._terms.of(options.get("timeout"))
        wanted = nullcontext() if request.detached else self._cancellations.waiting(request.request_id)
        try:
            with wanted, translated():
                return await self._stub.Query(request, **terms)
        except asyncio.CancelledError:
            if not request.detached:
                await self._cancellations.begin(request.request_id)
            raise

    def synthesize(self, question: requests.Question, **options: Unpack[requests.StreamOptions]) -> AsyncStream:
        """Ask, and return the events of the run as they happen."""
        request = requests.synthesize(question, options)

        def attach(watching: pb.WatchRunRequest | None, timeout: float | None) -> AsyncCall:
            if watching is None:
                return self._stub.Synthesize(request, **self._terms.of(timeout))
            return self._stub.WatchRun(watching, **self._terms.of(timeout))

        return AsyncStream(Resume(Deadline.after(self._terms.limit(options.get("timeout")))), attach)

    def watch(
        self, run_id: str = "", *, request_id: str = "", after: Cursor | None = None, timeout: float | None = None
    ) -> AsyncStream:
        """Return the events of a run after a place in it, all of them without one."""

        def attach(watching: pb.WatchRunRequest | None, timeout: float | None) -> AsyncCall:
            return self._stub.WatchRun(watching or request, **self._terms.of(timeout))

        request = requests.watch(run_id, request_id, after)
        return AsyncStream(Resume(Deadline.after(self._terms.limit(timeout)), request), attach)

    async def layer_result(
        self,
        run_id: str,
        index: int,
        *,
        request_id: str = "",
        wait: float | None = None,
        timeout: float | None = None,
    ) -> LayerResult:
        """Return a closed layer of a run; wait that many seconds for it to close."""
        request, layer = requests.layer_result(run_id, request_id, index, wait), LayerResult()
        while True:
            with translated():
                response = await self._stub.LayerResult(request, **self._terms.of(timeout))
            if request.page_token:
                layer.proposals.extend(response.layer.proposals)
            else:
                layer.CopyFrom(response.layer)
            request.page_token = response.next_page_token
            if not request.page_token:
                return layer

    async def cancel(self, run_id: str = "", *, request_id: str = "", timeout: float | None = None) -> Run:
        """Cancel a run and every model call under it; return the run."""
        request = requests.cancel(run_id, request_id)
        with translated():
            response = await self._stub.CancelRun(request, **self._terms.of(timeout))
        return response.run

    async def explain(self, question: requests.Question, **options: Unpack[requests.QueryOptions]) -> Plan:
        """Return what would be carried out, and what it could use at most. No model is called."""
        request = requests.explain(question, options)
        with translated():
            response = await self._stub.ExplainPlan(request, **self._terms.of(options.get("timeout")))
        return response.plan

    async def mixtures(self, *, timeout: float | None = None) -> Sequence[Mixture]:
        """Return the mixtures the caller may use."""
        request, mixtures = pb.ListMixturesRequest(), list[Mixture]()
        while True:
            with translated():
                response = await self._stub.ListMixtures(request, **self._terms.of(timeout))
            mixtures += response.mixtures
            request.page_token = response.next_page_token
            if not request.page_token:
                return mixtures

    async def close(self) -> None:
        """Close the channel; calls under way end with it, and queries under way with their runs."""
        if "_channel" not in self.__dict__:
            return
        owned = isinstance(self._target, str)
        await self._cancellations.finish(all_runs=owned)
        if owned:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        """The channel, opened by the first call because it belongs to the event loop that runs then."""
        return open_async(self._target, self._tls) if isinstance(self._target, str) else self._target

    @cached_property
    def _stub(self) -> "MoaServiceAsyncStub":
        return MoaServiceStub(self._channel)
