"""The short form of `make chaos`."""

from tests.house.surviving.chaos import CALLS, Plan, survive
from tests.house.surviving.fleet import Fleet
from tests.house.surviving.poison import HELD_EXIT, Dose, poisoned


async def test_every_run_survives_random_kills_whole_and_nothing_kept_is_paid_for_again(sqlite_fleet: Fleet) -> None:
    outcome = await survive(sqlite_fleet, Plan(runs=12, faults=3, ownership_s=1.0))
    assert outcome.answered == 12
    assert outcome.adopted > 0
    assert outcome.paid_again == 0
    assert sum(outcome.completed.values()) >= 12 * CALLS


async def test_a_run_that_holds_its_servers_costs_two_of_them_and_nobody_elses_run(sqlite_fleet: Fleet) -> None:
    dose = Dose(runs=12, poisoned=1, within_s=2.0, busy_limit_s=1.0)
    effect = await poisoned(sqlite_fleet, dose)
    assert (effect.outcome.answered, effect.quarantined) == (11, 1)
    assert effect.ended == [HELD_EXIT] * 2
    assert effect.most_paid <= 2
