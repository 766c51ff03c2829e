"""An engine with its journal, as a test holds it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol, TypedDict, Unpack

from moa_server.domain.agent import Agent
from moa_server.domain.event import BEGINNING, Cursor, Event, Fact
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Roster, Rules
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Journal, Model
from moa_server.domain.query import Overrides, Query
from moa_server.domain.run import RunRecord, Ticket
from moa_server.domain.strategy import Strategy
from moa_server.domain.usage import Budget
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.strategies import STRATEGIES
from tests.engine.facts import one_by_one
from tests.engine.fakes import user

OWNERSHIP_S = 0.2


def ownership(name: str, most_owners: int | None = None) -> Ownership:
    return Ownership(OWNERSHIP_S, most_owners=most_owners, lazy_s=0.01, owner=name)


class Asking(TypedDict, total=False):
    """What may be said of a run beside its text."""

    overrides: Overrides
    time_s: float | None
    request_id: str
    detached: bool
    proposal_deltas: bool


class House:
    """What a test holds of an engine."""

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self.engine = engine
        self.journal = journal

    async def start(self, text: str = "hello", **asking: Unpack[Asking]) -> RunRecord:
        ticket = Ticket(
            "tester",
            asking.get("request_id", ""),
            fingerprint=text,
            detached=asking.get("detached", False),
            proposal_deltas=asking.get("proposal_deltas", False),
        )
        query = Query(user(text), "mix", asking.get("overrides", Overrides()))
        return await self.engine.start(query, ticket, asking.get("time_s"))

    async def events(self, run_id: str, after: Cursor = BEGINNING) -> list[Event]:
        return [event async for event in one_by_one(self.engine.watch(run_id, after))]

    async def carried(self, text: str = "hello", **asking: Unpack[Asking]) -> list[Event]:
        return await self.events((await self.start(text, **asking)).run_id)

    async def journaled(self, run_id: str, kind: type[Fact], count: int) -> None:
        """Wait until the journal has so many facts of a kind."""
        async with aclosing(self.journal.follow(run_id)) as news:
            async for _ in news:
                events = await self.journal.read(run_id, BEGINNING, 1000)
                if sum(isinstance(event.fact, kind) for event in events) >= count:
                    return


class Opening(TypedDict, total=False):
    """What may be said of a house beside its models and layers."""

    rules: Rules
    limits: Limits
    journal: Journal
    ownership: Ownership
    agents: Mapping[str, Agent]
    """Agents that are more than a name and a model of that name."""
    budget: Budget


class OpenHouse(Protocol):
    """Opens a house for as long as a test lasts: the agents of so many layers propose, and ``boss`` answers."""

    async def __call__(
        self, models: Mapping[str, Model], layers: Sequence[Sequence[str]], **opening: Unpack[Opening]
    ) -> House: ...


class Founding(TypedDict, total=False):
    """What may be said of the one house that a test opens by itself."""

    owner: str
    ownership_s: float
    limits: Limits
    budget: Budget
    rules: Rules
    strategy: Strategy[Any]


@asynccontextmanager
async def one_house(
    models: Mapping[str, Model], layers: str, journal: Journal, **founding: Unpack[Founding]
) -> AsyncIterator[House]:
    """Open a house within a test: the agents of so many layers, a letter each, propose, and ``z`` answers."""
    agents = {name: Agent(name, name) for name in models}
    roster = Roster(tuple(tuple(agents[name] for name in layer) for layer in layers.split()), agents["z"])
    strategy = founding.get("strategy", STRATEGIES["aggregate"])
    rules, budget = founding.get("rules", Rules()), founding.get("budget", Budget())
    mixture = Mixture("mix", strategy.name, roster, rules, budget=budget)
    catalogue = Catalogue(models, {"mix": mixture}, {strategy.name: strategy}, agents, "mix")
    ownership = Ownership(founding.get("ownership_s", 1.0), lazy_s=0.01, owner=founding.get("owner", "one"))
    async with Engine(catalogue, journal, founding.get("limits", Limits()), ownership=ownership) as engine:
        yield House(engine, journal)
        await engine.close(0)
