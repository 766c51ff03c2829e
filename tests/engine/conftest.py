"""An engine over fake models and the memory journal."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.event import BEGINNING, Cursor, Event
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Permissions, Roster, Rules
from moa_server.domain.operation import Ownership
from moa_server.domain.query import Overrides, Query
from moa_server.domain.run import RunRecord, Ticket
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.strategies import STRATEGIES
from tests.engine.fakes import FakeModel, user


class House:
    """What a test holds of an engine."""

    def __init__(self, engine: Engine, journal: Any) -> None:  # noqa: ANN401 - any journal
        self.engine = engine
        self.journal = journal

    async def start(self, text: str = "hello", *, request_id: str = "", **more: Any) -> RunRecord:  # noqa: ANN401
        overrides = more.pop("overrides", Overrides())
        time_s = more.pop("time_s", None)
        ticket = Ticket("tester", request_id, fingerprint=text, **more)
        return await self.engine.start(Query(user(text), "mix", overrides), ticket, time_s)

    async def events(self, run_id: str, after: Cursor = BEGINNING) -> list[Event]:
        return [event async for event in self.engine.watch(run_id, after) if event is not None]

    async def carried(self, text: str = "hello", **more: Any) -> list[Event]:  # noqa: ANN401
        return await self.events((await self.start(text, **more)).run_id)


DEFAULT_RULES = Rules()
OpenHouse = Callable[..., Any]


@pytest.fixture
async def open_house() -> AsyncIterator[OpenHouse]:
    async with AsyncExitStack() as stack:

        async def opened(
            models: dict[str, FakeModel],
            layers: list[list[str]],
            aggregator: str | None = "boss",
            *,
            rules: Rules = DEFAULT_RULES,
            limits: Limits = Limits(),
            journal: Any = None,  # noqa: ANN401
            ownership: Ownership | None = None,
            **more: Any,  # noqa: ANN401
        ) -> House:
            agents = {name: more.get("agents", {}).get(name, Agent(name, name)) for name in models}
            roster = Roster(
                tuple(tuple(agents[name] for name in layer) for layer in layers),
                agents[aggregator] if aggregator else None,
            )
            mixture = Mixture("mix", "aggregate", roster, rules, permissions=Permissions(agents=tuple(agents)))
            mixture = replace(
                mixture, **{key: value for key, value in more.items() if key in {"budget", "permissions"}}
            )
            catalogue = Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix")
            kept = journal or MemoryJournal()
            engine = await stack.enter_async_context(Engine(catalogue, kept, limits, ownership=ownership))
            return House(engine, kept)

        yield opened
