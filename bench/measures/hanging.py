"""Whether callers notice that a model hangs for which another stands in, whether it ever spoke before or not."""

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from bench.callers import Told, ask
from bench.house import House, house, upstream
from bench.panel import Panel, voice
from bench.scale import Scale
from bench.table import Figure, quantile

_FIRST_MS = 200
_HANGS = f"brown-{voice(30, _FIRST_MS, 5)}"
_INSTEAD = voice(31, _FIRST_MS, 5)
_PANELS: Final = {"panel": Panel((voice(10, 20, 1),), _HANGS)}
_MODELS: Final = {_HANGS: {"fallbacks": [_INSTEAD]}, _INSTEAD: {}}
_MOST, _FEW = 1.2, 3
_HURRY_S = 10.0


async def hanging(scale: Scale) -> Sequence[Figure]:
    """Ask one after the other, in good times and while the answering model hangs."""
    runs = scale.of(12, 50, 200)
    with upstream() as (calls, endpoint):
        async with house(endpoint, _PANELS, models=_MODELS) as server:
            await _asked(server, 5)
            well = [one.first_s for one in await _asked(server, runs)]
            calls.ask("hang")
            calls.ask("ledger")
            bad = [one.first_s for one in await _asked(server, runs)]
            hung = [call for call in json.loads(calls.ask("ledger")) if call["model"] == _HANGS]
        async with house(endpoint, _PANELS, models=_MODELS) as server:
            unknown = [one.first_s for one in await _asked(server, scale.of(5, 10, 40), timeout=_HURRY_S)]
    usual = quantile(well, 0.5)
    few = len(_waited(bad, well))
    after = bad[few:]
    return [
        Figure("first token while it is healthy, p50", usual * 1e3, "ms"),
        Figure(f"runs that waited for the hanging model first, of {runs}", few, most=_FEW),
        Figure("the longest of them", max(bad[:few], default=0.0) * 1e3, "ms"),
        Figure("first token after them ÷ healthy, p50", quantile(after, 0.5) / usual, most=_MOST),
        Figure("first token after them ÷ healthy, p98", quantile(after, 0.98) / quantile(well, 0.98), most=_MOST),
        Figure("first token after them ÷ healthy, the longest", max(after) / max(well), most=_MOST),
        Figure("calls of the hanging model", len(hung)),
        Figure(f"runs of {_HURRY_S:g} s that waited for one that never spoke", len(_waited(unknown, well)), most=_FEW),
        Figure("first token after these ÷ healthy, p50", quantile(unknown[_FEW:], 0.5) / usual, most=_MOST),
    ]


def _waited(firsts: Sequence[float], well: Sequence[float]) -> Sequence[float]:
    """Return the times of the runs at the beginning that were slower than any healthy one."""
    return [*takewhile(lambda first_s: first_s > _MOST * max(well), firsts)]


async def _asked(server: House, runs: int, *, timeout: float = 120.0) -> list[Told]:
    return [await ask(server.client, f"run {number}", "panel", timeout=timeout) for number in range(runs)]
