from pathlib import Path

import pytest

from moa_server.domain.mixture import Permissions, PromptForm, ReferenceOrder, Rules
from moa_server.domain.model import TimeLimits
from moa_server.domain.operation import Listening, Logging, Ownership
from moa_server.domain.reliability import BreakerRule, ConcurrencyRule, HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Budget, Price
from moa_server.settings.settings import JournalChoice
from tests.settings.tiny import MemoryKept, loaded, plain


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    settings = loaded(tmp_path, plain())
    model = settings.models["small"]
    assert (model.upstream_model, model.endpoint) == ("small", "http://127.0.0.1:8000/v1")
    assert (model.window, model.max_output, model.price, model.times) == (8192, 2048, None, TimeLimits())
    assert model.reliability == Reliability()
    mixture = settings.mixtures["pair"]
    assert (mixture.rules, mixture.budget, mixture.permissions) == (
        Rules(),
        Budget(),
        Permissions(),
    )
    assert mixture.options == {"mood": "calm", "keep": 3, "steps": (1.0,)}
    assert (settings.listening, settings.callers) == (Listening("127.0.0.1:50051"), ())
    assert (settings.default_mixture, settings.journal) == ("pair", JournalChoice("memory", MemoryKept()))
    assert (settings.logging, settings.ownership) == (Logging(), Ownership())


def test_a_model_is_read_exactly(tmp_path: Path) -> None:
    data = plain()
    data["models"]["small"] |= {
        "model": "vendor/small",
        "price": {"input": 0.15, "output": "0.6", "cached_input": 0.075, "reasoning": 0.000000001},
        "times": {"connect": "500ms", "first_token": 5, "idle": "5s", "total": "2m"},
        "retry": {"attempts": 0},
        "concurrency": 16,
        "breaker": {"enabled": False},
        "hedge": {"model": "other"},
        "fallbacks": ["other"],
    }
    data["models"]["other"] = {
        "provider": "local",
        "window": 4000,
        "concurrency": {"limit": 8, "adaptive": True, "most": 64, "longest_wait": "1m"},
    }
    models = loaded(tmp_path, data).models
    assert models["small"].price == Price(150_000_000, 600_000_000, 75_000_000, 1)
    assert models["small"].times == TimeLimits(0.5, 5.0, 5.0, 120.0)
    assert models["small"].reliability == Reliability(
        RetryRule(attempts=0), ConcurrencyRule(16), BreakerRule(enabled=False), HedgeRule("other"), ("other",)
    )
    assert models["other"].max_output == 1000
    assert models["other"].reliability.concurrency == ConcurrencyRule(8, adaptive=True, most=64)
    assert models["other"].reliability.breaker == BreakerRule()


def test_the_provider_reads_its_dialect(tmp_path: Path) -> None:
    data = plain()
    data["models"]["small"] |= {"provider": "openai", "endpoint": "http://127.0.0.1/v1", "dialect": {"usage": True}}
    assert loaded(tmp_path, data).models["small"].dialect == {"usage": True}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["one", "two", "two"], [["one", "two", "two"]]),
        ([["one"], ["two"]], [["one"], ["two"]]),
        ([{"repeat": 2, "agents": ["one", "two"]}, ["two"]], [["one", "two"], ["one", "two"], ["two"]]),
        ([], []),
    ],
)
def test_layers_are_written_out(tmp_path: Path, layers: list[object], expected: list[list[str]]) -> None:
    data = plain()
    data["mixtures"]["pair"]["layers"] = layers
    roster = loaded(tmp_path, data).mixtures["pair"].roster
    assert [[agent.name for agent in layer] for layer in roster.layers] == expected


def test_the_rules_of_a_mixture_are_read(tmp_path: Path) -> None:
    data = plain()
    data["models"]["small"]["price"] = {"input": 1, "output": 1}
    data["mixtures"]["pair"] |= {
        "rules": {
            "prompt_form": "paper",
            "reference_order": "shuffled",
            "quorum": 1,
            "grace": "100ms",
            "when_short": "degrade",
            "single": "return",
            "when_aggregator_fails": "fail",
            "fold_when_too_long": True,
            "restart_answer": True,
            "when_over_budget": "refuse",
            "answer_share": 0.5,
            "answer_words": 100,
        },
        "budget": {"calls": 9, "tokens": 1000, "usd": 0.01, "time": "1m"},
        "allow": {"sampling": False, "max_tokens": 10, "agents": "all", "response_schema": False},
        "options": {"mood": "wild", "steps": [1, 2]},
    }
    mixture = loaded(tmp_path, data).mixtures["pair"]
    assert mixture.rules == Rules(
        PromptForm.PAPER,
        ReferenceOrder.SHUFFLED,
        1,
        0.1,
        fail_below_quorum=False,
        return_single=True,
        best_proposal_on_failure=False,
        fold_when_too_long=True,
        restart_answer=True,
        degrade_to_budget=False,
        answer_share=0.5,
        answer_words=100,
    )
    assert mixture.budget == Budget(9, 1000, 10_000_000, 60.0)
    assert mixture.permissions == Permissions(
        sampling=False, max_tokens=10, agents=("one", "two"), response_schema=False
    )
    assert mixture.options == {"mood": "wild", "keep": 3, "steps": (1.0, 2.0)}


def test_the_first_mixture_is_the_default(tmp_path: Path) -> None:
    data = plain()
    data["mixtures"]["again"] = data["mixtures"]["pair"]
    assert loaded(tmp_path, data).default_mixture == "pair"
    assert loaded(tmp_path, data | {"default_mixture": "again"}).default_mixture == "again"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:50051", "localhost:50051"])
def test_loopback_may_be_unencrypted(tmp_path: Path, listen: str) -> None:
    assert loaded(tmp_path, plain() | {"server": {"listen": listen}}).listening.listen == listen


def test_other_addresses_may_be_when_it_is_said(tmp_path: Path) -> None:
    server = {"listen": "[::]:50051", "insecure_anywhere": True}
    assert loaded(tmp_path, plain() | {"server": server}).listening.listen == "[::]:50051"
