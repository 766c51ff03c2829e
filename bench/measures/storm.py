"""What is left when five hundred runs are cancelled at random moments: at the upstream, and in the server."""

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from time import monotonic
from typing import Final

from bench.callers import ask_many
from bench.house import House, house, upstream
from bench.panel import Panel, voice
from bench.process import Process
from bench.scale import Scale
from bench.table import Figure, quantile
from moa import AsyncStream, MoaError

_PANELS: Final = {
    "quick": Panel((voice(20, 0),) * 3, voice(20, 0)),
    "slow": Panel((voice(200, 500, 20),) * 3, voice(400, 300, 20)),
}
_SOON_S, _LATE_S = 0.5, 4.0
_MOST_MS = 50.0
_SETTLED_S = 1.0


async def storm(scale: Scale) -> Sequence[Figure]:
    """Cancel them twice; the second time nothing may be left that the first did not leave."""
    runs = scale.of(50, 500, 500)
    with upstream() as (calls, endpoint):
        async with house(endpoint, _PANELS, limits={"retention": {"count": runs}}) as server:
            await ask_many(server.client, "quick", runs, at_once=16)
            await _storm(server, calls, runs)
            before = server.process.resident
            late = await _storm(server, calls, runs)
            left = (server.process.resident - before) / 1024
            open_calls = int(calls.ask("open"))
            await ask_many(server.client, "quick", 8, at_once=1)
            sockets = server.process.sockets
    return [
        Figure("from cancelling to the upstream seeing it, p50", quantile(late, 0.5), "ms"),
        Figure("from cancelling to the upstream seeing it, p99", quantile(late, 0.99), "ms", most=_MOST_MS),
        Figure("calls open at the upstream afterwards", open_calls, most=0),
        Figure("sockets of the server afterwards: caller, sink and a few kept", sockets, most=12),
        Figure(f"memory left by the second {runs}", left / runs, "KiB a run", most=4.0),
    ]


async def _storm(server: House, calls: Process, runs: int) -> list[float]:
    """Return the milliseconds from each cancelling to the abort of each call that was open then."""
    calls.ask("ledger")
    moments = await asyncio.gather(*(_cancelled(server, f"run {number}") for number in range(runs)))
    await asyncio.sleep(_SETTLED_S)
    cancelled = dict(moments)
    seen = json.loads(calls.ask("ledger"))
    return [(call["aborted"] - cancelled[call["question"]]) * 1e3 for call in seen if call["aborted"] is not None]


async def _cancelled(server: House, question: str) -> tuple[str, float]:
    """Start a run, cancel it at a random moment, and return that."""
    moment = random.uniform(_SOON_S, _LATE_S)
    async with server.client.synthesize(question, mixture="slow") as events:
        first = await anext(events)
        reading = asyncio.create_task(_read(events))
        await asyncio.sleep(moment)
        asked = monotonic()
        await server.client.cancel(first.run_id)
        await reading
    return question, asked


async def _read(events: AsyncStream) -> None:
    with contextlib.suppress(MoaError):
        await events.answer()
