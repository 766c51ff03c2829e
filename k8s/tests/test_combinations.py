"""Every combination of an overlay and components renders, fits the clusters' schemas and keeps every rule."""

import pytest

from k8s.tests import schema
from k8s.tests.manifests import OVERLAYS, Combination, combinations, objects
from k8s.tests.rules import PRODUCTION_RULES, RULES

ALL = tuple(combinations())
_PARTS = 4


def faults(combination: Combination) -> list[str]:
    found = objects(combination)
    rules = RULES + (PRODUCTION_RULES if combination.overlay == "prod" else ())
    broken = [f"{rule.__name__}: {fault}" for rule in rules for fault in rule(found)]
    return broken + [fault for one in found for fault in schema.faults(one)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", range(_PARTS))
def test_every_combination_keeps_every_rule_and_every_schema(part: int) -> None:
    broken = {str(combination): faults(combination) for combination in ALL[part::_PARTS]}
    assert {name: found for name, found in broken.items() if found} == {}


def test_the_combinations_are_many_and_each_is_there_once() -> None:
    assert len(ALL) == len(set(ALL)) > 100
    assert {combination.overlay for combination in ALL} == set(OVERLAYS)
    assert {Combination(overlay) for overlay in OVERLAYS} <= set(ALL)
