from dataclasses import replace
from pathlib import Path

import pytest

from moa_server.domain.agent import Sampling
from moa_server.domain.errors import BudgetTooSmall
from moa_server.domain.mixture import Mixture, Rules
from moa_server.domain.model import ModelSpec
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
        worst_case_with_failures=WorstCase(9, 40_000, cost and 3_700_000_000),
    )


def test_each_mixture_is_told_with_its_layers_and_worst_case(tmp_path: Path) -> None:
    data = plain()
    data["models"]["small"]["model"] = "vendor/small"
    assert render_check(loaded(tmp_path, data), explain).splitlines() == [
        "pair (default): strategy aggregate",
        "  layer 0: one → small (vendor/small), two → small (vendor/small)",
        "  layer 1 (answer): one → small (vendor/small)",
        "  worst case: 3 calls, 12,345 tokens, US$ 1.2345",
        "    with every retry, hedge and fallback: 9 calls, 40,000 tokens, US$ 3.70",
        "  budget: none",
        "",
        "tokens counted by assumption, since no tokenizer is named: small",
    ]


def test_what_is_not_sent_of_an_agents_settings_is_told_once_with_its_reason(tmp_path: Path) -> None:
    data = plain()
    data["agents"]["one"]["sampling"] = {"temperature": 1.5, "seed": 7}

    def unsent(spec: ModelSpec, sampling: Sampling) -> dict[str, str]:
        return {"temperature": f"{spec.name} is cool"} if sampling.temperature else {}

    lines = render_check(loaded(tmp_path, data), explain, unsent).splitlines()
    assert [line for line in lines if "not sent" in line] == [
        "  not sent to small: temperature of one, since small is cool"
    ]


def test_a_model_with_a_tokenizer_rests_on_no_assumption(tmp_path: Path) -> None:
    data = plain()
    data["models"]["small"]["tokenizer"] = "tokenizer.json"
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "assumption" not in render_check(loaded(tmp_path, data), explain)


@pytest.mark.parametrize(
    ("model", "sampling", "told"),
    [
        ({"reasons": True}, {}, "few tokens to reason and to answer in: one (2,048), two (2,048); give them 4,096 or"),
        ({"reasons": True}, {"max_tokens": 900}, "answer in: one (900), two (2,048); "),
        ({}, {"reasoning_effort": "low"}, "answer in: one (2,048); "),
        ({}, {"reasoning_tokens": 1500}, "answer in: one (2,048); "),
        ({"reasons": True, "reasoning_effort": "none"}, {}, None),
        ({"reasons": True, "window": 32_768, "max_output": 4096}, {}, None),
        ({}, {"max_tokens": 900}, None),
    ],
)
def test_who_may_use_up_in_reasoning_what_there_is_for_the_answer_is_told(
    tmp_path: Path, model: dict[str, object], sampling: dict[str, object], told: str | None
) -> None:
    data = plain()
    data["models"]["small"] |= model
    data["agents"]["one"]["sampling"] = sampling
    text = render_check(loaded(tmp_path, data), explain)
    assert told in text if told else "to reason" not in text


@pytest.mark.parametrize(
    ("budget", "rules", "told"),
    [
        (Budget(tokens=12_345, calls=9), Rules(), "  note: the budget does not cover every retry, hedge and fallback"),
        (Budget(tokens=40_000, calls=9), Rules(), "  budget: 9 calls, 40,000 tokens"),
        (Budget(calls=2), Rules(), "3 calls are needed, 2 allowed; every run loses layers or agents"),
        (Budget(cost_nanousd=10**9), Rules(degrade_to_budget=False), "1000000000 allowed; every run is refused"),
        (Budget(time_s=1.5), Rules(), "  budget: 1.5 s"),
    ],
)
def test_the_budget_is_told_beside_the_worst_case(tmp_path: Path, budget: Budget, rules: Rules, told: str) -> None:
    def limited(mixture: Mixture) -> Plan:
        return replace(explain(mixture), budget=budget, rules=rules)

    lines = render_check(loaded(tmp_path, plain()), limited).splitlines()
    assert told in "\n".join(lines)
    cannot = "the budget cannot carry it" in "\n".join(lines)
    assert cannot == ("every run" in told)


def test_an_unknown_price_is_told_as_unknown(tmp_path: Path) -> None:
    text = render_check(loaded(tmp_path, plain()), lambda mixture: explain(mixture, None))
    assert "cost unknown (a model has no price)" in text


def test_a_mixture_that_cannot_be_planned_is_refused(tmp_path: Path) -> None:
    def too_small(_: Mixture) -> Plan:
        raise BudgetTooSmall("one call does not fit the budget")

    with pytest.raises(ConfigurationRefused, match=r"^mixtures\.pair: one call does not fit the budget; "):
        render_check(loaded(tmp_path, plain()), too_small)
