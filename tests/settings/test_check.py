from pathlib import Path

import pytest

from moa_server.domain.errors import BudgetTooSmall
from moa_server.domain.mixture import Mixture, Rules
from moa_server.domain.plan import Plan, PlannedLayer, WorstCase
from moa_server.domain.usage import Budget
from moa_server.settings import ConfigurationRefused, render_check
from tests.settings.tiny import loaded, plain


def explain(mixture: Mixture, cost: int | None = 1_234_500_000) -> Plan:
    roster = mixture.roster
    assert roster.aggregator is not None
    layers = [PlannedLayer(index, agents, len(agents), 0.0) for index, agents in enumerate(roster.layers)]
    last = PlannedLayer(len(layers), (roster.aggregator,), 1, 0.0, answers=True)
    return Plan(
        mixture=mixture.name,
        strategy=mixture.strategy,
        messages=(),
        roster=roster,
        layers=(*layers, last),
        worst_case=WorstCase(3, 12_345, cost),
        budget=Budget(),
        rules=Rules(),
        mark="",
        seed=0,
    )


def test_each_mixture_is_told_with_its_layers_and_worst_case(tmp_path: Path) -> None:
    data = plain()
    data["models"]["small"]["model"] = "vendor/small"
    assert render_check(loaded(tmp_path, data), explain).splitlines() == [
        "pair (default): strategy aggregate",
        "  layer 0: one → small (vendor/small), two → small (vendor/small)",
        "  layer 1 (answer): one → small (vendor/small)",
        "  worst case: 3 calls, 12,345 tokens, US$ 1.2345, retries and hedges apart",
    ]


def test_an_unknown_price_is_told_as_unknown(tmp_path: Path) -> None:
    text = render_check(loaded(tmp_path, plain()), lambda mixture: explain(mixture, None))
    assert "cost unknown (a model has no price)" in text


def test_a_mixture_that_cannot_be_planned_is_refused(tmp_path: Path) -> None:
    def too_small(_: Mixture) -> Plan:
        raise BudgetTooSmall("one call does not fit the budget")

    with pytest.raises(ConfigurationRefused, match=r"^mixtures\.pair: one call does not fit the budget; "):
        render_check(loaded(tmp_path, plain()), too_small)
