"""Every rule holds for every combination of an overlay and components."""

import pytest

from k8s.tests.rendering import OVERLAYS, Combination, combinations, objects
from k8s.tests.rules import PRODUCTION_RULES, RULES


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_combination_of_components_keeps_every_rule(overlay: str) -> None:
    broken = {}
    for combination in combinations():
        if combination.overlay == overlay:
            rules = RULES + (PRODUCTION_RULES if overlay == "prod" else ())
            found = objects(combination)
            faults = [f"{rule.__name__}: {fault}" for rule in rules for fault in rule(found)]
            if faults:
                broken[str(combination)] = faults
    assert broken == {}


def test_combinations_are_many_and_each_is_there_once() -> None:
    found = list(combinations())
    assert len(found) == len(set(found)) > 100
    assert {combination.overlay for combination in found} == set(OVERLAYS)
    assert Combination("prod") in found
