"""Configurations of whole houses, as data."""

from typing import Any

Configuration = dict[str, Any]

PROPOSERS = ("one", "two", "three")


def model(endpoint: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML
    """A model that fails at once and for good: no retries, no breaker that remembers the last test."""
    times = {"first_token": "20s", "idle": "20s", "total": "40s"}
    calm = {"retry": {"attempts": 0}, "breaker": {"enabled": False}, "times": times}
    return {"provider": "openai", "endpoint": endpoint, "window": 32768, "max_output": 1024, **calm, **more}


def council(endpoint: str, **sections: Any) -> Configuration:  # noqa: ANN401 - YAML
    """Three proposers and an editor, each an agent on a model of its own name."""
    names = (*PROPOSERS, "editor")
    return {
        "models": {name: model(endpoint) for name in names},
        "agents": {name: {"model": name} for name in names},
        "mixtures": {
            "council": {
                "strategy": "aggregate",
                "description": "Three and an editor.",
                "layers": list(PROPOSERS),
                "aggregator": "editor",
                "allow": {"sampling": True, "agents": "all", "response_schema": True},
            },
            "deep": {"strategy": "aggregate", "layers": [["one", "two"], ["three"]], "aggregator": "editor"},
            "alone": {"strategy": "aggregate", "layers": ["one"], "aggregator": "editor"},
        },
        "limits": {"heartbeat": "50s"},
        "server": {"listen": "127.0.0.1:0"},
        **sections,
    }
