"""A house in which every strategy is on offer, each agent on a model of its own name."""

import json
from collections.abc import Callable
from typing import Any

from tests.house.configurations import Configuration, model
from tests.strategies.rosters import Setting
from tests.strategies.settings import SETTINGS
from tests.upstream import Request, Speech

VOICES = ("one", "two", "three", "four")
ROLES = ("editor", "small", "judge", "router", "coordinator", "cheap", "dear")


def on_every_strategy(endpoint: str) -> Configuration:
    names = (*VOICES, *ROLES, "eyes")
    models = {name: model(endpoint) for name in names}
    models["eyes"]["images"] = True
    models["small"] |= {"window": 1050, "max_output": 100}
    agents: dict[str, Any] = {name: {"model": name, "labels": [f"skill-{name}"]} for name in names}
    agents["two"]["weight"] = 2
    agents["one"]["sampling"] = {"temperature": 0.9, "max_tokens": 300}
    mixtures = _mixtures()
    written = {mixture["strategy"] for mixture in mixtures.values()}
    mixtures |= {one.strategy: _mixture(one) for one in SETTINGS if one.strategy not in written}
    return {
        "models": models,
        "agents": agents,
        "mixtures": {name: {**mixture, "allow": {"max_tokens": 500}} for name, mixture in mixtures.items()},
        "server": {"listen": "127.0.0.1:0"},
    }


def _mixtures() -> dict[str, dict[str, Any]]:
    letters = {"extract": "choice_letter"}
    pool = ["one", "two", "three"]
    return {
        "panel": {"strategy": "aggregate", "layers": list(VOICES), "aggregator": "editor"},
        "brief": {
            "strategy": "aggregate",
            "layers": list(VOICES),
            "aggregator": "editor",
            "rules": {"answer_words": 80},
        },
        "cramped": {
            "strategy": "aggregate",
            "layers": list(VOICES),
            "aggregator": "small",
            "rules": {"fold_when_too_long": True},
        },
        "seeing": {"strategy": "aggregate", "layers": [["eyes"], ["one"]], "aggregator": "editor"},
        "blind": {"strategy": "aggregate", "layers": ["eyes", "one"], "aggregator": "editor"},
        "shadow": {
            "strategy": "aggregate",
            "layers": [pool, pool],
            "aggregator": "editor",
            "options": {"stop_on_agreement": "shadow"},
        },
        "vote": {"strategy": "vote", "layers": pool, "options": letters},
        "ballot": {"strategy": "vote", "layers": pool, "options": {"extract": "json_field", "field": "total"}},
        "rank": {"strategy": "rank", "layers": pool, "roles": {"judge": "judge"}, "options": {"method": "pairwise"}},
        "scores": {"strategy": "rank", "layers": pool, "roles": {"judge": "judge"}},
        "debate": {"strategy": "debate", "layers": pool, "options": letters},
        "review": {"strategy": "review", "layers": pool, "aggregator": "editor"},
        "route": {"strategy": "route", "layers": pool, "roles": {"router": "router"}},
        "coordinate": {
            "strategy": "coordinate",
            "layers": pool,
            "aggregator": "editor",
            "roles": {"coordinator": "coordinator"},
        },
        "refine": {"strategy": "refine", "layers": [["one"], ["two", "three"]], "aggregator": "editor"},
        "cascade": {
            "strategy": "cascade",
            "layers": [["cheap"], ["dear"]],
            "options": {"samples": 3, "threshold": 0.6, "extract": "last_number"},
        },
        "certain": {
            "strategy": "cascade",
            "layers": [["cheap"], ["dear"]],
            "options": {"gate": "logprobs", "threshold": 0.9},
        },
        "checked": {
            "strategy": "cascade",
            "layers": [["cheap"], ["dear"]],
            "roles": {"verifier": "judge"},
            "options": {"gate": "self_verification"},
        },
        "self": {"strategy": "self_mixture", "layers": ["one"], "options": {"samples": 3}},
        "sequential": {
            "strategy": "self_mixture_sequential",
            "layers": ["one"],
            "aggregator": "editor",
            "options": {"samples": 5, "window": 3},
        },
    }


def _mixture(setting: Setting) -> dict[str, Any]:
    """Put the agents of the house into the places of a strategy's own setting."""
    return {
        "strategy": setting.strategy,
        "layers": [list(VOICES[: len(layer)]) for layer in setting.roster.layers],
        **({"aggregator": "editor"} if setting.roster.aggregator else {}),
        "roles": dict.fromkeys(setting.roster.roles, "judge"),
        "options": json.loads(json.dumps(setting.options)),
    }


def said_to(body: Any) -> str:  # noqa: ANN401 - JSON
    """All that a call's last message says."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def answering_by(answer: Callable[[str], str]) -> Callable[[Request], Speech]:
    """Answer a call by what its last message says."""
    return lambda request: Speech(answer(said_to(request.body)))
