"""Experts who are right with a known probability: the vote does what arithmetic says, and no vote too many is taken."""

import math
import random
from dataclasses import replace

import pytest

from moa_server.domain.mixture import Roster
from moa_server.domain.strategy import Call
from tests.strategies.driver import agents, drive, plan_of

QUERIES = 2_000
RIGHT = 0.7


def majority(count: int) -> float:
    need = count // 2 + 1
    return sum(math.comb(count, hits) * RIGHT**hits * (1 - RIGHT) ** (count - hits) for hits in range(need, count + 1))


def votes_needed(count: int) -> float:
    """The mean number of votes until one side has the majority: two negative binomials, whichever ends first."""
    need = count // 2 + 1
    mean = 0.0
    for taken in range(need, count + 1):
        ways = math.comb(taken - 1, need - 1)
        mean += taken * ways * RIGHT**need * (1 - RIGHT) ** (taken - need)
        mean += taken * ways * (1 - RIGHT) ** need * RIGHT ** (taken - need)
    return mean


@pytest.mark.parametrize(("count", "expected"), [(3, 0.784), (5, 0.837), (9, 0.901)])
def test_a_vote_reproduces_the_binomial_majority(count: int, expected: float) -> None:
    assert round(majority(count), 3) == expected
    chance = random.Random(count)
    early = plan_of("vote", Roster((agents(count),)), options={"extract": "choice_letter", "letters": "AB"})
    patient = replace(early, options={**early.options, "stop_when_decided": False})
    right = taken = 0
    for query in range(QUERIES):
        said = ["A" if chance.random() < RIGHT else "B" for _ in range(count)]

        def says(_call: Call, _layer: int, position: int, said: list[str] = said) -> str:
            return said[position]

        stopped = drive(early, says, shuffle=random.Random(query))
        assert stopped.text == drive(patient, says).text
        right += stopped.text == "A"
        taken += len(stopped.results[0].proposals)
        assert stopped.decisions[0].calls_cut == count - len(stopped.results[0].proposals)
    sigma = math.sqrt(expected * (1 - expected) / QUERIES)
    assert abs(right / QUERIES - expected) < 3 * sigma
    assert abs(taken / QUERIES - votes_needed(count)) < 0.05 * (count - votes_needed(count))
