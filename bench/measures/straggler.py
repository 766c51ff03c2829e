"""Whether one slow proposer of three holds the answer up: 50, 60 and 5,000 ms, a quorum of two, a grace of 100 ms."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from bench.callers import ask_many
from bench.house import house, upstream
from bench.panel import Panel, voice
from bench.scale import Scale
from bench.table import Figure, quantile

_FAST, _SECOND, _SLOW = voice(20, 50), voice(20, 60), voice(20, 5000)
_GRACE_S, _IDEAL_S = 0.1, 0.21
_PANELS: Final = {
    "panel": Panel((_FAST, _SECOND, _SLOW), voice(50, 50), {"quorum": 2, "grace": "100ms"}),
}
_MOST, _MOST_CUT_MS = 1.15, 50.0


async def straggler(scale: Scale) -> Sequence[Figure]:
    """Ask, and read in the upstream's ledger when the slow call was given up."""
    with upstream() as (calls, endpoint):
        async with house(endpoint, _PANELS) as server:
            await ask_many(server.client, "panel", 8, at_once=2)
            calls.ask("ledger")
            told = await ask_many(server.client, "panel", scale.of(10, 100, 400), at_once=2)
            cuts = _cuts_ms(json.loads(calls.ask("ledger")))
    firsts = [one.first_s / _IDEAL_S for one in told]
    return [
        Figure("first answer token ÷ the ideal of 210 ms, p50", quantile(firsts, 0.5), most=_MOST),
        Figure("first answer token ÷ the ideal of 210 ms, p99", quantile(firsts, 0.99), most=_MOST),
        Figure("slow calls that were not cut", len(told) - len(cuts), most=0),
        Figure("from the cut to the upstream seeing it, p50", quantile(cuts, 0.5), "ms"),
        Figure("from the cut to the upstream seeing it, p99", quantile(cuts, 0.99), "ms", most=_MOST_CUT_MS),
    ]


def _cuts_ms(calls: Sequence[dict[str, Any]]) -> list[float]:
    """Return how long after the end of its grace each slow call was aborted."""
    runs: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for call in calls:
        runs[call["question"]][call["model"]] = call
    cut = [(run[_SLOW]["aborted"], run[_SECOND]["closed"]) for run in runs.values() if _SLOW in run]
    return [(aborted - closed - _GRACE_S) * 1e3 for aborted, closed in cut if aborted is not None]
