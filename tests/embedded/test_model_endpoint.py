"""The environment names an endpoint in full, or not at all; the configuration follows it."""

import importlib.util

import pytest
import yaml

from moa_server.embedded import SettingsError
from moa_server.embedded.demo_configuration import configuration
from moa_server.embedded.llama import RuntimeMissingError
from moa_server.embedded.model_endpoint import ModelEndpoint, local_model, named_endpoint

NAMED = {"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1/", "MODELS": "a, b"}
LOCAL = ModelEndpoint("http://127.0.0.1:1/v1", ("small",), 2048, "SOME_KEY", {"SOME_KEY": "hush"})


async def test_platform_without_the_wheel_is_told_where_else_to_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(RuntimeMissingError, match="no local model can be served here") as caught:
        async with local_model():
            pytest.fail("it was ready")
    assert "OPENAI_BASE_URL" in str(caught.value)


def test_environment_that_names_nothing_leaves_the_local_model() -> None:
    assert named_endpoint({"OPENAI_API_KEY": "unrelated"}) is None


def test_endpoint_is_read_from_the_environment() -> None:
    named = named_endpoint(NAMED | {"OPENAI_API_KEY": "hush"})
    assert named is not None
    assert (named.url, named.models) == ("http://127.0.0.1:11434/v1", ("a", "b"))
    assert named.key_variable == "OPENAI_API_KEY"
    assert "hush" not in repr(named)


@pytest.mark.parametrize(
    ("environment", "missing"),
    [({"MODELS": "a"}, "OPENAI_BASE_URL is not"), ({"OPENAI_BASE_URL": "http://127.0.0.1/v1"}, "MODELS is not")],
)
def test_half_an_endpoint_is_refused(environment: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        named_endpoint(environment)


def test_proposers_go_round_the_models_and_the_last_one_aggregates() -> None:
    named = named_endpoint(NAMED)
    assert named is not None
    agents = yaml.safe_load(configuration(named, "127.0.0.1:0"))["agents"]
    models = {name: agent["model"] for name, agent in agents.items()}
    assert models == {"plain": "model-1", "curious": "model-2", "practical": "model-1", "editor": "model-2"}


def test_endpoint_without_a_key_is_configured_without_one() -> None:
    named = named_endpoint(NAMED)
    assert named is not None
    models = yaml.safe_load(configuration(named, "127.0.0.1:0"))["models"]
    assert all("api_key" not in model for model in models.values())


def test_configuration_names_where_the_key_is_and_never_the_key() -> None:
    text = configuration(LOCAL, "127.0.0.1:0")
    assert yaml.safe_load(text)["models"]["model-1"]["api_key"] == {"env": "SOME_KEY"}
    assert "hush" not in text


def test_agents_speak_as_small_models_need_it() -> None:
    agents = yaml.safe_load(configuration(LOCAL, "127.0.0.1:0"))["agents"]
    assert all(agent["instructions"].startswith("You are a helpful assistant.") for agent in agents.values())
    assert all(agent["sampling"]["temperature"] <= 0.7 for agent in agents.values())
