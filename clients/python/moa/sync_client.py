"""The client for threads."""

from collections.abc import Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import Self, Unpack

import grpc

from moa import requests
from moa.cancellations import SyncCancellations
from moa.channel import Tls, open_sync
from moa.errors import MoaError
from moa.resume import Resume
from moa.sync_stream import Stream, SyncCall
from moa.terms import DEFAULT_TIMEOUT, Deadline, Terms, Token
from moa.translation import translated
from moa.v1 import moa_service_pb2 as pb
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa.v1.plan_pb2 import Mixture, Plan
from moa.v1.run_pb2 import Cursor, LayerResult, Run


class Client:
    """Asks moa, from any thread. Everything that goes wrong is raised as a ``MoaError``.

    The target is ``host:port``, which is resolved to all its addresses, or a channel, which stays its owner's to close.
    """

    def __init__(
        self,
        target: str | grpc.Channel,
        *,
        token: Token | None = None,
        tls: Tls | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        self._channel = open_sync(target, tls) if isinstance(target, str) else target
        self._owned = isinstance(target, str)
        self._stub = MoaServiceStub(self._channel)
        self._terms = Terms(token, timeout)
        self._cancellations = SyncCancellations(
            lambda request_id, timeout: self.cancel(request_id=request_id, timeout=timeout)
        )

    def query(self, question: requests.Question, **options: Unpack[requests.RunOptions]) -> pb.QueryResponse:
        """Ask, wait for the end, and return the answer with its layers; raise why there is none.

        An answer that broke off is lost with the error, whose ``partial_text`` is empty; ``synthesize`` keeps it.
        An exception that interrupts it, such as Ctrl-C, and closing the client cancel the run and its model calls,
        unless it is detached; a connection that breaks does not. ``synthesize`` is for those who may come back.
        """
        request = requests.query(question, options)
        terms = self._terms.of(options.get("timeout"))
        wanted = nullcontext() if request.detached else self._cancellations.waiting(request.request_id)
        try:
            with wanted, translated():
                return self._stub.Query(request, **terms)
        except MoaError:
            raise
        except BaseException:
            if not request.detached:
                self._cancellations.begin(request.request_id)
            raise

    def synthesize(self, question: requests.Question, **options: Unpack[requests.StreamOptions]) -> Stream:
        """Ask, and return the events of the run as they happen."""
        request = requests.synthesize(question, options)

        def attach(watching: pb.WatchRunRequest | None, timeout: float | None) -> SyncCall:
            if watching is None:
                return self._stub.Synthesize(request, **self._terms.of(timeout))
            return self._stub.WatchRun(watching, **self._terms.of(timeout))

        return Stream(Resume(Deadline.after(self._terms.limit(options.get("timeout")))), attach)

    def watch(
        self, run_id: str = "", *, request_id: str = "", after: Cursor | None = None, timeout: float | None = None
    ) -> Stream:
        """Return the events of a run after a place in it, all of them without one."""

        def attach(watching: pb.WatchRunRequest | None, timeout: float | None) -> SyncCall:
            return self._stub.WatchRun(watching or request, **self._terms.of(timeout))

        request = requests.watch(run_id, request_id, after)
        return Stream(Resume(Deadline.after(self._terms.limit(timeout)), request), attach)

    def layer_result(
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
                response = self._stub.LayerResult(request, **self._terms.of(timeout))
            if request.page_token:
                layer.proposals.extend(response.layer.proposals)
            else:
                layer.CopyFrom(response.layer)
            request.page_token = response.next_page_token
            if not request.page_token:
                return layer

    def cancel(self, run_id: str = "", *, request_id: str = "", timeout: float | None = None) -> Run:
        """Cancel a run and every model call under it; return the run."""
        request = requests.cancel(run_id, request_id)
        with translated():
            response = self._stub.CancelRun(request, **self._terms.of(timeout))
        return response.run

    def explain(self, question: requests.Question, **options: Unpack[requests.QueryOptions]) -> Plan:
        """Return what would be carried out, and what it could use at most. No model is called."""
        request = requests.explain(question, options)
        with translated():
            response = self._stub.ExplainPlan(request, **self._terms.of(options.get("timeout")))
        return response.plan

    def mixtures(self, *, timeout: float | None = None) -> Sequence[Mixture]:
        """Return the mixtures the caller may use."""
        request, mixtures = pb.ListMixturesRequest(), list[Mixture]()
        while True:
            with translated():
                response = self._stub.ListMixtures(request, **self._terms.of(timeout))
            mixtures += response.mixtures
            request.page_token = response.next_page_token
            if not request.page_token:
                return mixtures

    def close(self) -> None:
        """Close the channel; calls under way end with it, and queries under way with their runs."""
        self._cancellations.finish(all_runs=self._owned)
        if self._owned:
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
