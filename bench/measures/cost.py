"""CPU a run, beside the prototype and the naive build: all at once, and token by token.

The three are asked by turns, so that what else the machine does falls on all of them. A figure is the median of its
rounds.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final

from bench.callers import ask_many
from bench.house import House, Subject, house, peer, upstream
from bench.panel import Panel, voice
from bench.scale import Scale
from bench.table import Figure

_AT_ONCE = 32
_PANELS: Final = {
    "burst": Panel((voice(20, 0),) * 3, voice(200, 0)),
    "paced": Panel((voice(50, 50, 5),) * 3, voice(200, 50, 5)),
}
_SPANS_A_RUN, _LINES_A_RUN = 5, 1
"""At least: of the call, of each attempt; and a line of its end."""
_EXPORT_S = 6.0
"""After which the last spans have been exported."""


@dataclass(frozen=True, slots=True)
class Round:
    """What some runs took."""

    cpu_ms: float
    """A run, of the server's process."""
    rate: float
    """Runs a second that were carried out, by this machine with callers and upstream on it."""


async def cost(scale: Scale) -> Sequence[Figure]:
    """Measure both cases on all three."""
    with upstream() as (_, endpoint):
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(house(endpoint, _PANELS))
            peers = [await stack.enter_async_context(peer(name, endpoint, _PANELS)) for name in ("prototype", "naive")]
            figures: list[Figure] = []
            asked = 0
            for case, runs in (("burst", scale.of(32, 256, 512)), ("paced", scale.of(32, 64, 128))):
                times = scale.of(1, 3, 5)
                figures += _figures(case, await _rounds((server, *peers), case, runs, times))
                asked += _AT_ONCE + times * runs
            return [*figures, *await _shown(server, asked)]


async def _rounds(subjects: Sequence[Subject], case: str, runs: int, times: int) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = defaultdict(list)
    for subject in subjects:
        await ask_many(subject.client, case, _AT_ONCE, at_once=_AT_ONCE)
    for _ in range(times):
        for subject in subjects:
            rounds[subject.name].append(await _round(subject, case, runs))
    return rounds


async def _round(subject: Subject, case: str, runs: int) -> Round:
    cpu, began = subject.process.cpu_s, perf_counter()
    await ask_many(subject.client, case, runs, at_once=_AT_ONCE)
    return Round((subject.process.cpu_s - cpu) * 1e3 / runs, runs / (perf_counter() - began))


def _figures(case: str, rounds: dict[str, list[Round]]) -> list[Figure]:
    cpu = {name: median(one.cpu_ms for one in told) for name, told in rounds.items()}
    rate = median(one.rate for one in rounds["moa"])
    least = 0.4 if case == "paced" else None
    return [
        *(Figure(f"{case}: CPU a run, {name}", ms, "ms") for name, ms in cpu.items()),
        Figure(f"{case}: CPU a run, moa ÷ prototype", cpu["moa"] / cpu["prototype"], most=2.0),
        Figure(f"{case}: CPU a run, moa ÷ naive", cpu["moa"] / cpu["naive"], most=least),
        Figure(f"{case}: runs a second that one core carries, moa", 1000 / cpu["moa"]),
        Figure(f"{case}: runs a second that were carried, {_AT_ONCE} at once, moa", rate),
    ]


async def _shown(server: House, runs: int) -> list[Figure]:
    """Check that every run was traced and logged."""
    await asyncio.sleep(_EXPORT_S)
    spans, lines = int(server.sink.ask("spans")) / runs, server.lines / runs
    return [
        Figure("spans that arrived, a run", spans, least=_SPANS_A_RUN),
        Figure("lines that were logged, a run", lines, least=_LINES_A_RUN),
    ]
