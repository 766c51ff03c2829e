"""Survives kills, freezes, poison and stops on each store, and prints what came of it beside what is wanted.

Ends badly when a run was lost, cut or paid for twice; times are only told.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from moa_server.domain.limits import Limits
from moa_server.journal.postgres_store import migrate_postgres
from tests.house.surviving.chaos import Outcome, Plan, breaks, hand_overs, outage, survive, takeovers
from tests.house.surviving.fleet import Fleet, fleet_on
from tests.house.surviving.poison import HELD_EXIT, Dose, Effect, poisoned
from tests.house.surviving.sealing import sealed
from tests.house.surviving.store_faults import Held, frozen_in_writes, killed_store
from tests.journal.postgres import Postgres

_OWNERSHIP_S = 3.0
_DEAD_S = 8.0
_STOPS = 5
_MOST_BEATS = 3
_STORE_FAULTS = 4
_STORES = ("postgres", "sqlite")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command


@asynccontextmanager
async def _fleet(store: str) -> AsyncIterator[tuple[Fleet, Postgres | None]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if store == "sqlite":
            async with fleet_on(folder, {"sqlite": {"path": "runs.db"}}) as fleet:
                yield fleet, None
            return
        with Postgres() as server:
            await migrate_postgres(server.dsn)
            (folder / "dsn").write_text(server.dsn)
            async with fleet_on(folder, {"postgres": {"dsn": {"file": "dsn"}}}) as fleet:
                yield fleet, server


def _told(name: str, plan: Plan, outcome: Outcome) -> bool:
    """Print an outcome; return whether all is as it has to be."""
    _say(f"\n{name}: {outcome.kills} kills, {outcome.freezes} freezes, {outcome.adopted} takeovers")
    _say(f"  runs answered, each stream whole, one end each   {outcome.answered} of {plan.runs}")
    _say(f"  agents called again though their proposal was kept   {outcome.paid_again} (wanted: 0)")
    _say(f"  calls completed, then lost in the moment of a fault, before they were kept   {outcome.completed_again}")
    return outcome.answered == plan.runs and not outcome.paid_again


def _poisoned(store: str, dose: Dose, effect: Effect) -> bool:
    """Print what came of runs that hold their servers; return whether nobody else paid for it."""
    others = dose.runs - dose.poisoned
    held = effect.ended.count(HELD_EXIT)
    _say(
        f"\n{store}, runs that hold their servers: {held} servers ended themselves, and {len(effect.ended) - held} else"
    )
    _say(f"  other runs answered   {effect.outcome.answered} of {others}")
    _say(f"  runs quarantined after their trial   {effect.quarantined} of {dose.poisoned}")
    _say(f"  the most that a call was paid   {effect.most_paid} times (wanted: at most 2)")
    is_sound = effect.outcome.answered == others and effect.quarantined == dose.poisoned
    return is_sound and effect.most_paid <= 2 and effect.ended == [HELD_EXIT] * (2 * dose.poisoned)


def _handed_over(store: str, runs: int, times: int, outcome: Outcome) -> bool:
    """Print what came of runs that were handed over and over; return whether all were answered."""
    _say(f"\n{store}, {times} orderly stops in a row: {outcome.adopted} runs handed over")
    _say(f"  runs answered, each stream whole, one end each   {outcome.answered} of {runs}")
    _say(f"  agents called again though their proposal was kept   {outcome.paid_again} (wanted: 0)")
    return outcome.answered == runs and not outcome.paid_again and outcome.adopted == runs * times


async def _store_taken(fleet: Fleet, server: Postgres | None, plan: Plan) -> bool:
    """Take the store itself away under the runs; print what came of it, and return whether all is as it has to be."""
    if server is not None:
        outcome = await survive(fleet, plan, killed_store(server))
        is_sound = _told("postgres, the database killed and started again", plan, outcome)
    else:
        held = Held()
        outcome = await survive(fleet, plan, frozen_in_writes(fleet.folder / "runs.db", held))
        is_sound = _told("sqlite, servers frozen in a write to the file, then awake or killed", plan, outcome)
        _say(f"  others that told their callers so   {held.told} of {held.others}")
        _say(f"  others that turned unready, and ready again   {len(held.ready_s)} of {held.others}")
        _times("unready after", held.unready_s, 5.0)
        _times("ready again after", held.ready_s, 2.0)
        is_sound &= held.told == held.others == len(held.unready_s) == len(held.ready_s)
    _say(f"  the most that a call was paid   {outcome.most_paid} times (wanted: at most 2)")
    return is_sound and outcome.most_paid <= 2


def _times(name: str, seconds: Sequence[float], most_s: float) -> None:
    ordered = sorted(seconds)
    p50, p95 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    _say(f"  {name}: p50 {p50:.2f} s, p95 {p95:.2f} s, most {ordered[-1]:.2f} s (wanted: p95 at most {most_s} s)")


async def _all(stores: Sequence[str], runs: int, faults: int, seed: int) -> bool:
    sound = True
    for store in stores:
        for freezes in (False, True):
            plan = Plan(runs, faults, freezes, _OWNERSHIP_S, seed=seed)
            async with _fleet(store) as (fleet, _):
                outcome = await survive(fleet, plan)
            sound &= _told(f"{store}, {'kills and freezes' if freezes else 'kills alone'}", plan, outcome)
        for kill, name, most_s in ((True, "takeover", 4.0), (False, "hand-over", 0.5)):
            async with _fleet(store) as (fleet, _):
                _times(name, await takeovers(fleet, _OWNERSHIP_S, runs=20, kill=kill), most_s)
        async with _fleet(store) as (fleet, _):
            noticed = await breaks(fleet, _OWNERSHIP_S, runs=20)
        most_s = _MOST_BEATS * Limits().heartbeat_s + 1.0
        in_time = sum(one <= most_s for one in noticed)
        _times(f"{in_time} of {len(noticed)} callers left a frozen server in time", noticed, most_s)
        async with _fleet(store) as (fleet, server):
            if server is not None:
                took_s = await outage(fleet, server, ownership_s=_OWNERSHIP_S, dead_s=_DEAD_S)
                _say(f"  end of a run after its store was dead for {_DEAD_S} s: {took_s:.2f} s (wanted: at most 4 s)")
        dose = Dose(runs, seed=seed)
        async with _fleet(store) as (fleet, _):
            sound &= _poisoned(store, dose, await poisoned(fleet, dose))
        async with _fleet(store) as (fleet, _):
            kills = Plan(runs, faults, ownership_s=_OWNERSHIP_S, seed=seed)
            came = await sealed(fleet, kills)
        sound &= _told(f"{store}, sealed runs beside a server without their keys", kills, came.outcome)
        _say(f"  times that it took a run, and left it to those who can read it   {came.left}")
        async with _fleet(store) as (fleet, _):
            outcome = await hand_overs(fleet, _OWNERSHIP_S, runs=20, times=_STOPS, token_s=0.4)
            sound &= _handed_over(store, 20, _STOPS, outcome)
        async with _fleet(store) as (fleet, server):
            plan = Plan(runs, min(faults, _STORE_FAULTS), ownership_s=_OWNERSHIP_S, seed=seed)
            sound &= await _store_taken(fleet, server, plan)
    return sound


def main() -> int:
    """Survive what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.house.surviving", description=__doc__)
    parser.add_argument("stores", nargs="*", choices=[*_STORES, []], default=[], help="all when left out")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--faults", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    sound = asyncio.run(_all(chosen.stores or _STORES, chosen.runs, chosen.faults, chosen.seed))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
