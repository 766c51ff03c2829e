"""An engine over fake models and the memory journal."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Unpack

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Permissions, Roster, Rules
from moa_server.domain.ports import Model
from moa_server.domain.usage import Budget
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.strategies import STRATEGIES
from tests.engine.houses import House, OpenHouse, Opening


@pytest.fixture
async def open_house() -> AsyncIterator[OpenHouse]:
    async with AsyncExitStack() as stack:

        async def opened(
            models: Mapping[str, Model], layers: Sequence[Sequence[str]], **opening: Unpack[Opening]
        ) -> House:
            agents = {name: Agent(name, name) for name in models} | {**opening.get("agents", {})}
            roster = Roster(tuple(tuple(agents[name] for name in layer) for layer in layers), agents["boss"])
            mixture = Mixture(
                "mix",
                "aggregate",
                roster,
                opening.get("rules", Rules()),
                budget=opening.get("budget", Budget()),
                permissions=Permissions(agents=tuple(agents)),
            )
            catalogue = Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix")
            journal = opening.get("journal") or MemoryJournal()
            engine = Engine(catalogue, journal, opening.get("limits", Limits()), ownership=opening.get("ownership"))
            return House(await stack.enter_async_context(engine), journal)

        yield opened
