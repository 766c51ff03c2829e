"""What moa adds to the critical path: one caller at a time, calls of 50 ms, an answer of 200 tokens."""

from collections.abc import Sequence
from typing import Final

from bench.callers import Told, ask
from bench.house import Subject, house, peer, upstream
from bench.panel import Panel, voice
from bench.scale import Scale
from bench.table import Figure, quantile

_HOP_MS, _TOKENS, _EACH_MS = 50, 200, 2
_HOPS_S: Final = 2 * _HOP_MS / 1000
_WHOLE_S: Final = _HOPS_S + (_TOKENS - 1) * _EACH_MS / 1000
_PANELS: Final = {"panel": Panel((voice(20, _HOP_MS),) * 3, voice(_TOKENS, _HOP_MS, _EACH_MS))}
_MOST_MS = 5.0


async def overhead(scale: Scale) -> Sequence[Figure]:
    """Ask the server and the prototype by turns."""
    runs = scale.of(5, 60, 200)
    with upstream() as (_, endpoint):
        async with house(endpoint, _PANELS) as server, peer("prototype", endpoint, _PANELS) as prototype:
            told: dict[str, list[Told]] = {server.name: [], prototype.name: []}
            for _ in range(3):
                await _ask_each((server, prototype), {server.name: [], prototype.name: []})
            for _ in range(runs):
                await _ask_each((server, prototype), told)
    return [*_figures("moa", told["moa"], _MOST_MS), *_figures("prototype", told["prototype"], None)]


async def _ask_each(subjects: Sequence[Subject], told: dict[str, list[Told]]) -> None:
    for subject in subjects:
        told[subject.name].append(await ask(subject.client, "What is there to measure?", "panel"))


def _figures(name: str, told: Sequence[Told], most: float | None) -> list[Figure]:
    firsts = [(one.first_s - _HOPS_S) * 1e3 for one in told]
    wholes = [(one.whole_s - _WHOLE_S) * 1e3 for one in told]
    return [
        Figure(f"{name}: first answer token − two hops, p50", quantile(firsts, 0.5), "ms", most=most),
        Figure(f"{name}: first answer token − two hops, p99", quantile(firsts, 0.99), "ms"),
        Figure(f"{name}: the whole − its critical path, p50", quantile(wholes, 0.5), "ms", most=most),
    ]
