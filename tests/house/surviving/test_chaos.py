"""The short form of `make chaos`."""

from tests.house.surviving.chaos import CALLS, Plan, survive
from tests.house.surviving.fleet import Fleet


async def test_every_run_survives_random_kills_whole_and_nothing_kept_is_paid_for_again(sqlite_fleet: Fleet) -> None:
    outcome = await survive(sqlite_fleet, Plan(runs=12, faults=3, ownership_s=1.0))
    assert outcome.answered == 12
    assert outcome.adopted > 0
    assert outcome.paid_again == 0
    assert sum(outcome.completed.values()) >= 12 * CALLS
