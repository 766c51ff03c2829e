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
    "proposing": Panel((voice(60, 1000, 500),) * 3, voice(20, 0)),
    "answering": Panel((voice(20, 200),) * 3, voice(60, 1000, 500)),
}
_SOON_S, _LATE_S = 4.0, 9.0
"""After all have begun, so that it is the cancelling that is measured."""
_MOST_MS = 50.0
_SETTLED_S = 1.0
_UNKEPT_S = 9.0
"""After which connections that were kept for other calls are closed."""


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
            await asyncio.sleep(_UNKEPT_S)
            sockets = server.process.sockets
    return [
        Figure("from cancelling to the upstream seeing it, p50", quantile(late, 0.5), "ms"),
        Figure("from cancelling to the upstream seeing it, p99", quantile(late, 0.99), "ms", most=_MOST_MS),
        Figure("calls open at the upstream afterwards", open_calls, most=0),
        Figure("sockets of the server afterwards: of its caller and its sink", sockets, most=4),
        Figure(f"memory left by the second {runs}", left / runs, "KiB a run", most=4.0),
    ]


async def _storm(server: House, calls: Process, runs: int) -> list[float]:
    """Return the milliseconds from each cancelling to the abort of each call that was open then."""
    calls.ask("ledger")
    all_begun = asyncio.Barrier(runs)
    moments = await asyncio.gather(*(_cancelled(server, number, all_begun) for number in range(runs)))
    await asyncio.sleep(_SETTLED_S)
    cancelled = dict(moments)
    seen = json.loads(calls.ask("ledger"))
    return [(call["aborted"] - cancelled[call["question"]]) * 1e3 for call in seen if call["aborted"] is not None]


async def _cancelled(server: House, number: int, all_begun: asyncio.Barrier) -> tuple[str, float]:
    """Start a run, cancel it at a random moment, and return that."""
    question, mixture = f"run {number}", ("proposing", "answering")[number % 2]
    async with server.client.synthesize(question, mixture=mixture) as events:
        await anext(events)
        reading = asyncio.create_task(_read(events))
        await all_begun.wait()
        await asyncio.sleep(random.uniform(_SOON_S, _LATE_S))
        asked = monotonic()
        await server.client.cancel(events.run_id)
        await reading
    return question, asked


async def _read(events: AsyncStream) -> None:
    with contextlib.suppress(MoaError):
        await events.answer()
