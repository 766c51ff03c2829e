"""What can be said of each provider's dialect is checked as any other section is, together with its preset."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from moa_server.main import choices, explaining
from moa_server.settings import ConfigurationRefused, json_schema, load, render_check
from tests.settings.tiny import plain, write

CHOICES = choices()
TAGS = "think_tags"


def problems(folder: Path, provider: str, dialect: dict[str, Any]) -> list[str]:
    data = plain()
    data["models"]["small"] |= {"provider": provider, "endpoint": "http://127.0.0.1/v1", "dialect": dialect}
    try:
        load(write(folder, data), CHOICES)
    except ConfigurationRefused as refused:
        return [str(problem) for problem in refused.problems]
    return []


@pytest.mark.parametrize(
    ("name", "dialect", "problem"),
    [
        ("groq", {"max_token_field": "x"}, ".max_token_field: there is no key 'max_token_field'; did you mean 'max_to"),
        (
            "groq",
            {"max_tokens_field": "x"},
            ".max_tokens_field: is not one of the choices; write 'max_tokens' or 'max_",
        ),
        ("openai", {"usage_in_stream": "yes"}, ".usage_in_stream: is neither true nor false; write one of them"),
        ("openai", {"headers": {"a": 1}}, ".headers.a: is not a text; put it into quotes"),
        ("openai", {TAGS: [["<a>", ""]]}, f".{TAGS}: a tag is empty"),
        ("openai", {TAGS: [], "begins_thinking": True}, f".begins_thinking: needs {TAGS}"),
        ("mistral", {"begins_thinking": True}, f".begins_thinking: needs {TAGS}"),
        ("openai", {"body": {"tools": []}}, ".body: holds tools, and no model is offered tools; leave it out"),
        ("groq", {"body": {"tool_choice": "auto"}}, ".body: holds tool_choice, and no model is offered tools; leave"),
        ("anthropic", {"body": {"tools": [{}]}}, ".body: holds tools, and no model is offered tools; leave it out"),
        ("openai", {"body": {"max_tokens": 9}}, ".body: holds max_tokens, by which a call would come to more than is"),
        ("anthropic", {"body": {"messages": []}}, ".body: holds messages, by which a call would come to more than is"),
        ("responses", {"body": {"previous_response_id": "x"}}, ".body: holds previous_response_id, by which a call"),
        ("vllm", {"body": {"n": 3}}, ".body: holds n, by which a call would come to more than is counted"),
        ("anthropic", {"stream": "no"}, ".stream: is neither true nor false; write one of them"),
        ("anthropic", {"sends_seed": True}, ".sends_seed: there is no key 'sends_seed'; did you mean 'sends_sampling'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, name: str, dialect: dict[str, Any], problem: str
) -> None:
    [said] = problems(tmp_path, name, dialect)
    assert said.startswith(f"models.small.dialect{problem}")


@pytest.mark.parametrize("name", sorted(CHOICES.providers))
def test_every_provider_takes_what_its_preset_says(tmp_path: Path, name: str) -> None:
    said = yaml.safe_load(yaml.safe_dump(plain_data(CHOICES.providers[name].settings)))
    assert problems(tmp_path, name, said) == []


@pytest.mark.parametrize(
    ("provider", "said", "reasons"),
    [
        ("openai", {}, False),
        ("openai", {"endpoint": "https://api.openai.com/v1"}, True),
        ("openai", {"endpoint": "https://api.openai.com/v1", "reasons": False}, False),
        ("azure", {}, True),
        ("vllm", {}, False),
        ("vllm", {"reasons": True}, True),
    ],
)
def test_a_model_reasons_where_the_current_ones_of_its_house_do_unless_its_operator_knows_better(
    tmp_path: Path, provider: str, said: dict[str, Any], *, reasons: bool
) -> None:
    data = plain()
    data["models"]["small"] |= {"provider": provider, "endpoint": "http://127.0.0.1/v1", **said}
    assert load(write(tmp_path, data), CHOICES).models["small"].reasons is reasons


def plain_data(value: object) -> object:
    if isinstance(value, tuple):
        return [plain_data(part) for part in value]
    return {key: plain_data(part) for key, part in value.items()} if isinstance(value, dict) else value


def test_the_schema_shows_the_dialect_of_each_provider() -> None:
    parts = json_schema(CHOICES)["$defs"]
    chosen = {
        name: parts[one["then"]["properties"]["dialect"]["$ref"].rpartition("/")[2]]["properties"]
        for one in parts["ModelSpec"]["allOf"]
        for name in one["if"]["properties"]["provider"]["enum"]
    }
    assert set(chosen) == set(CHOICES.providers)
    assert chosen["groq"]["max_tokens_field"]["enum"] == ["max_tokens", "max_completion_tokens"]
    assert chosen["anthropic"]["version"]["default"] == "2023-06-01"
    assert all(key["description"] for keys in chosen.values() for key in keys.values())


def without_signal(folder: Path, gate: str, provider: str, dialect: dict[str, Any]) -> list[str]:
    data = plain()
    small = {"provider": provider, "endpoint": "http://127.0.0.1/v1", "dialect": dialect}
    data["models"] = {"small": small, "large": {"provider": "ollama"}}
    data["agents"] |= {"last": {"model": "large"}}
    mixture = {"strategy": "cascade", "layers": [["one", "two"], ["last"]], "options": {"gate": gate}}
    data["mixtures"] = {"pair": mixture}
    settings = load(write(folder, data), CHOICES)
    told = render_check(settings, explaining(settings)).splitlines()
    return [line for line in told if "log-probabilities" in line]


@pytest.mark.parametrize(
    ("provider", "dialect", "gives"),
    [
        ("openai", {}, True),
        ("openai", {"logprobs": False}, False),
        ("openrouter", {}, False),
        ("openrouter", {"logprobs": True}, True),
        ("anthropic", {}, False),
    ],
)
def test_check_tells_of_agents_whose_models_give_no_sign(
    tmp_path: Path,
    provider: str,
    dialect: dict[str, Any],
    gives: bool,  # noqa: FBT001
) -> None:
    told = without_signal(tmp_path, "logprobs", provider, dialect)
    assert (
        told == []
        if gives
        else [line[: line.index(", so")] for line in told]
        == [
            "  warning: small gives no log-probabilities",
            "  warning: small gives no log-probabilities",
        ]
    )
    assert ["one" in line for line in told] == ([] if gives else [True, False])
    assert without_signal(tmp_path, "agreement", provider, dialect) == []
