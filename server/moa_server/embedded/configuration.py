"""Writes the server's configuration for two example mixtures: `starter`, and `demo` with three voices."""

from typing import Any

import yaml

from moa_server.embedded.upstream import Upstream

OPENING = "You are a helpful assistant."  # small models lose their way when a system prompt opens otherwise
PROPOSERS = {
    "plain": "Answer in two short, plain sentences.",
    "curious": "Answer in two short sentences and add one surprising fact.",
    "practical": "Answer in two short sentences with one practical example.",
}
EDITOR = "Write one short, clear answer of at most three sentences."
TEMPERATURES = {"plain": 0.3, "curious": 0.7, "practical": 0.5, "editor": 0.3}
PROPOSAL_TOKENS = 96
ANSWER_TOKENS = 128


def configuration(upstream: Upstream, listen: str) -> str:
    """The text of the configuration file; it names where the key is, never the key."""
    names = [f"model-{number}" for number in range(1, len(upstream.models) + 1)]
    document = {
        "models": {
            name: _model(upstream, upstream_name) for name, upstream_name in zip(names, upstream.models, strict=True)
        },
        "agents": _agents(names),
        "mixtures": {
            "starter": {"strategy": "aggregate", "layers": [["plain", "curious"]], "aggregator": "editor"},
            "demo": {"strategy": "aggregate", "layers": [list(PROPOSERS)], "aggregator": "editor"},
        },
        "server": {"listen": listen},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _model(upstream: Upstream, name: str) -> dict[str, Any]:
    model: dict[str, Any] = {"provider": "openai", "endpoint": upstream.url, "model": name, "window": upstream.window}
    if upstream.key_variable:
        model["api_key"] = {"env": upstream.key_variable}
    return model


def _agents(models: list[str]) -> dict[str, Any]:
    """Proposers go round the models; the last model, the strongest by convention, aggregates."""
    agents = {
        name: _agent(name, models[place % len(models)], task, PROPOSAL_TOKENS)
        for place, (name, task) in enumerate(PROPOSERS.items())
    }
    return agents | {"editor": _agent("editor", models[-1], EDITOR, ANSWER_TOKENS)}


def _agent(name: str, model: str, task: str, most: int) -> dict[str, Any]:
    sampling = {"temperature": TEMPERATURES[name], "max_tokens": most}
    return {"model": model, "instructions": f"{OPENING} {task}", "sampling": sampling}
