"""Writes the server's configuration for two example mixtures: `starter`, and `demo` with three voices."""

from typing import Any

import yaml

from moa_server.embedded.model_endpoint import ModelEndpoint

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


def configuration(endpoint: ModelEndpoint, listen: str) -> str:
    """The text of the configuration file; it names where the key is, never the key."""
    shared: dict[str, Any] = {"provider": "openai", "endpoint": endpoint.url, "window": endpoint.window}
    if endpoint.key_variable:
        shared["api_key"] = {"env": endpoint.key_variable}
    models = {f"model-{number}": shared | {"model": name} for number, name in enumerate(endpoint.models, start=1)}
    names = list(models)
    # Proposers go round the models; the last model, the strongest by convention, aggregates.
    agents = {
        name: _agent(name, names[place % len(names)], task, PROPOSAL_TOKENS)
        for place, (name, task) in enumerate(PROPOSERS.items())
    }
    document = {
        "models": models,
        "agents": agents | {"editor": _agent("editor", names[-1], EDITOR, ANSWER_TOKENS)},
        "mixtures": {
            "starter": {"strategy": "aggregate", "layers": [["plain", "curious"]], "aggregator": "editor"},
            "demo": {"strategy": "aggregate", "layers": [list(PROPOSERS)], "aggregator": "editor"},
        },
        "server": {"listen": listen},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _agent(name: str, model: str, task: str, most: int) -> dict[str, Any]:
    sampling = {"temperature": TEMPERATURES[name], "max_tokens": most}
    return {"model": model, "instructions": f"{OPENING} {task}", "sampling": sampling}
