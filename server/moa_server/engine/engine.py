"""The engine's face: starts runs, and lets them be watched, read and cancelled."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import structlog

from moa_server.domain import errors
from moa_server.domain.event import BEGINNING, CancelledBy, Cursor, Event, Fact
from moa_server.domain.limits import Limits
from moa_server.domain.operation import Ownership
from moa_server.domain.plan import Plan
from moa_server.domain.ports import Clock, Journal, Model, SystemClock
from moa_server.domain.proposal import LayerResult
from moa_server.domain.query import Query
from moa_server.domain.run import RunRecord, RunState, Submission, Ticket
from moa_server.engine.plans.catalogue import Catalogue, MixtureView, ModelView
from moa_server.engine.plans.planner import Planner
from moa_server.engine.records.background import hear_of_requests, purge, tell_of_watchers
from moa_server.engine.records.closed_layers import ClosedLayers
from moa_server.engine.records.history import History
from moa_server.engine.records.run_reader import RunStatus, closed_layer, status_of
from moa_server.engine.records.takeover import Takeover
from moa_server.engine.records.watchdog import Watchdog
from moa_server.engine.records.watcher import Watcher
from moa_server.engine.registry import Registry

_RETRY_AFTER_S = 1.0
_LAST_WORDS_S = 1.0
"""How long a stopping server waits for the journal to have all that its runs have come to."""
_ID_BYTES = 16

_logger = structlog.get_logger(__name__)


class Engine:
    """Carries out what callers ask for. Use it as an async context manager."""

    def __init__(
        self,
        catalogue: Catalogue,
        journal: Journal,
        limits: Limits = Limits(),
        *,
        ownership: Ownership | None = None,
        clock: Clock | None = None,
        breaker_of: Callable[[Model], str | None] = lambda _: None,
        on_fact: Callable[[str, Fact], None] = lambda _mixture, _fact: None,
    ) -> None:
        """Offer ``catalogue``; keep runs in ``journal``.

        ``breaker_of`` tells the state of a model's breaker; ``on_fact`` hears, for each mixture, what its runs come to.
        """
        self.catalogue = catalogue
        self._journal = journal
        self._limits = limits
        self._ownership = ownership or Ownership()
        self._breaker_of = breaker_of
        self._registry = Registry(
            journal, clock or SystemClock(), limits, self._ownership, lambda: self.catalogue, on_fact=on_fact
        )
        self._takeover = Takeover(
            journal,
            self._ownership.owner,
            ownership_s=self._ownership.ownership_s,
            room=self._room,
            can_carry_on=lambda record: record.plan.strategy in self.catalogue.strategies,
            unsettled=self._registry.unsettled,
            carry_on=self._registry.open,
        )
        self._closing = False
        self._submitting = 0
        """How many runs are on their way into the journal, and will be open here."""
        self._stack = AsyncExitStack()
        self._background: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._registry.carrying())
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        journal, registry = self._journal, self._registry
        grace_s = max(self._limits.abandon_grace_s, 1.0)
        beside: dict[str, Coroutine[None, None, None]] = {
            "purge": purge(journal),
            "take over": self._takeover.look_for_ever(),
            "hear of requests": hear_of_requests(journal, self._ownership.owner, registry.writer.renew_now),
            "tell of watchers": tell_of_watchers(journal, registry.audience.of_other_servers, grace_s),
        }
        self._background = [group.create_task(work, name=name) for name, work in beside.items()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for task in self._background:
            task.cancel()
        await self._stack.__aexit__(kind, error, trace)

    def watchdog(self, end: Callable[[int], None]) -> Watchdog:
        """Return what keeps the ownership while the event loop is busy; ``end`` ends the process once it is held."""
        registry = self._registry
        return Watchdog(
            self._journal,
            self._ownership,
            run_ids=registry.run_ids,
            renewed_at=lambda: registry.writer.renewed_at,
            on_renewal=registry.writer.renewed,
            end=end,
        )

    def explain(self, query: Query) -> Plan:
        """Resolve a query to its plan. Nothing is called."""
        return Planner(self.catalogue, self._limits, self._registry.estimates).plan(query)

    def mixtures(self) -> Sequence[MixtureView]:
        """Return what this server offers, in the operator's order."""
        planner = Planner(self.catalogue, self._limits, self._registry.estimates)
        views = []
        for mixture in self.catalogue.mixtures.values():
            plan = planner.describe(mixture)
            models = ((name, self.catalogue.models[name]) for name in self.catalogue.models_of(plan.layers))
            views.append(
                MixtureView(
                    mixture.name,
                    mixture.description,
                    mixture.strategy,
                    plan.layers,
                    plan.worst_case,
                    tuple(ModelView(name, self._breaker_of(model)) for name, model in models),
                    is_default=mixture.name == self.catalogue.default_mixture,
                )
            )
        return views

    def open_runs(self) -> int:
        """Return how many runs this server is carrying out."""
        return len(self._registry)

    async def start(self, query: Query, ticket: Ticket, time_s: float | None) -> RunRecord:
        """Register a run and carry it out, unless the caller's request id has one already.

        ``time_s`` is what is left of the caller's own time; a detached run does not end with it.

        Raises:
            MoaError: the run cannot be had, or not now.
        """
        try:
            submission = self._submission(query, ticket, time_s)
        except errors.MoaError:
            # The run of a repeated request may be had even when a new one may not.
            existing = await self._journal.find_request(ticket.caller, ticket.request_id) if ticket.request_id else None
            if existing is None or existing.ticket.fingerprint != ticket.fingerprint:
                raise
            return existing
        asked_at = asyncio.get_running_loop().time()
        self._submitting += 1
        try:
            registered = await self._journal.submit(submission, self._ownership.owner)
        except (errors.JournalUnavailable, asyncio.CancelledError):
            self._takeover.doubt(submission.run_id)
            raise
        finally:
            self._submitting -= 1
        if registered.created and self._registry.get(registered.record.run_id) is None:
            self._registry.open(registered.record, History(), asked_at)
        return registered.record

    async def find(self, caller: str, *, run_id: str = "", request_id: str = "") -> RunRecord:
        """Return a caller's run by its id, or by the caller's own id of the request.

        Raises:
            RunNotFound: the caller has no such run.
        """
        if run_id:
            record = await self._journal.find(run_id)
        else:
            record = await self._journal.find_request(caller, request_id)
        if record is None or record.ticket.caller != caller:
            name, wanted = ("run_id", run_id) if run_id else ("request_id", request_id)
            raise errors.RunNotFound(f"no run with {name} {wanted[:64]!r}", metadata={name: wanted[:64]})
        return record

    def watch(self, run_id: str, after: Cursor = BEGINNING) -> AsyncGenerator[Sequence[Event], None]:
        """Yield the events of a run after a place as they are ready, and none in every heartbeat time without one.

        Use it within `contextlib.aclosing`: a run that nobody watches is cancelled after a while.
        """
        present = self._registry.audience.watching(run_id)
        watcher = Watcher(run_id, after, self._journal, self._registry.log, present, self._limits.heartbeat_s)
        return watcher.events()

    async def layer_result(self, run_id: str, index: int, wait_s: float = 0.0) -> LayerResult:
        """Return a closed layer of a run, waiting for it to close if asked to.

        Raises:
            LayerNotFound: the run ended without it.
            LayerOpen: it is still open.
        """
        metadata = {"run_id": run_id, "layer": str(index)}
        try:
            if wait_s <= 0:
                found = await closed_layer(run_id, index, self._journal)
            else:
                async with asyncio.timeout(min(wait_s, self._limits.layer_wait_s)):
                    found = await self._layer_when_closed(run_id, index)
        except TimeoutError:
            found = None
        if found is not None:
            return found
        record = await self._journal.find(run_id)
        if record is not None and record.state is RunState.RUNNING:
            raise errors.LayerOpen(f"layer {index} of run {run_id} is still open", metadata=metadata)
        raise errors.LayerNotFound(f"run {run_id} has no closed layer {index}", metadata=metadata)

    async def _layer_when_closed(self, run_id: str, index: int) -> LayerResult | None:
        layers = ClosedLayers()
        async with aclosing(self.watch(run_id)) as news:
            async for events in news:
                for event in events:
                    layer = layers.hear(event.fact)
                    if layer is not None and layer.index == index:
                        return layer
        return None

    async def cancel(self, run_id: str, by: CancelledBy) -> None:
        """Cancel a run, wherever it is open, and wait a little for it to end."""
        run = self._registry.get(run_id)
        try:
            async with asyncio.timeout(self._limits.cancel_wait_s):
                if run is not None:
                    run.cancel(by)
                    await run.ended.wait()
                else:
                    await self._journal.cancel(run_id, by)
                    async with aclosing(self.watch(run_id)) as news:
                        async for _ in news:
                            pass
        except TimeoutError:
            return

    async def status(self, run_id: str) -> RunStatus:
        """Return how far a run is.

        Raises:
            RunNotFound: there is none.
        """
        return await status_of(run_id, self._journal)

    async def close(self, grace_s: float) -> None:
        """Refuse new runs, let the open ones finish within the grace, and hand over or cancel what is left then."""
        self._closing = True
        for task in self._background:
            task.cancel()
        try:
            async with asyncio.timeout(grace_s):
                await self._registry.emptied()
        except TimeoutError:
            if self._journal.is_shared:
                await self._hand_over()
            else:
                self._registry.cancel_all(CancelledBy.OPERATOR)
                await self._registry.emptied()
        await self._release(self._takeover.left())

    async def _hand_over(self) -> None:
        """Let other servers go on with the runs, from what the journal has of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._registry.writer.flush()
        left = self._registry.let_go()
        await self._registry.emptied()
        await self._release(left)

    async def _release(self, run_ids: list[str]) -> None:
        if not run_ids:
            return
        try:
            await self._journal.release(self._ownership.owner, run_ids)
        except (
            errors.JournalUnavailable
        ) as error:  # others take them over once this server has been silent for long enough
            _logger.warning("runs.not_released", runs=len(run_ids), detail=error.detail)

    def _submission(self, query: Query, ticket: Ticket, time_s: float | None) -> Submission:
        if self._closing:
            raise errors.ShuttingDown("the server is stopping")
        if self._room() <= 0:
            raise errors.Overloaded(
                "the server carries out as many runs as it may",
                metadata={"limit": "open_runs"},
                retry_after_s=_RETRY_AFTER_S,
            )
        plan, run_time = self.explain(query), self._limits.run_time
        limits = (plan.budget.time_s, None if ticket.detached else time_s)
        wanted = [limit for limit in limits if limit is not None]
        budget = replace(plan.budget, time_s=min([*wanted, run_time.maximum_s]) if wanted else run_time.default_s)
        return Submission(secrets.token_hex(_ID_BYTES), ticket, replace(plan, budget=budget))

    def _room(self) -> int:
        return self._limits.open_runs - len(self._registry) - self._submitting
