"""What each house's models refuse, by LiteLLM's proxy, and that they answer all the same."""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from moa import AsyncClient
from moa_server.domain.model import ModelSpec
from moa_server.domain.ports import Model
from moa_server.embedded.model_endpoint import local_model
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from tests.house.servers import Start, starting
from tests.models.fakes import Caller
from tests.providers.asker import Key
from tests.real.oracle import Oracle, oracle
from tests.real.programmes import skip_unless
from tests.real.prompts import OPEN, PROMPTS
from tests.upstream import Speech, Status

_REASONING: Final = {"temperature", "top_p", "stop", "presence_penalty", "frequency_penalty", "logprobs"}
_FOREIGN: Final = {"seed", "presence_penalty", "frequency_penalty", "logprobs"}
"""What Anthropic's models have no place for, in chat completions too."""
REFUSED: Final[Mapping[tuple[str, str], AbstractSet[str]]] = {
    ("openai", "gpt-5-mini"): _REASONING,
    ("openai", "gpt-5.6"): _REASONING,
    ("openai", "claude-sonnet-4-6"): _FOREIGN,
    ("openai", "claude-sonnet-5"): _FOREIGN | {"temperature", "top_p"},
    ("openai", "mistral-medium"): {"presence_penalty", "frequency_penalty", "logprobs"},
    ("anthropic", "claude-sonnet-4-6"): set(),
    ("anthropic", "claude-sonnet-5"): {"temperature", "top_p"},
    **{("openai", name): set() for name in ("gpt-oss-120b", "deepseek-v4", "kimi-k3", "qwen3")},
}
"""By dialect and model."""
FIELDS: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
)
_ASKED: Final = [(*of, name) for of in REFUSED for name in FIELDS]
_WORDS: Final = {"stop": {"stop", "stop_sequences"}, "max_tokens": {"max_tokens", "max_completion_tokens"}}
"""Under which names they arrive, where these are others."""
_UNSENT: Final[Mapping[str, AbstractSet[str]]] = {"openai": set(), "anthropic": _FOREIGN}
"""What the dialect has no word for."""
PLACE: Final = {"place": {"name": "Galdhøpiggen", "height": 2469}, "tags": ["mountain"]}
"""An answer that fits the open schema."""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with oracle(tmp_path_factory.mktemp("litellm")) as proxy:
        yield proxy


@pytest.fixture
def proxy(running: Oracle) -> Oracle:
    running.begin_anew()
    return running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with starting(tmp_path) as start:
        yield start


def bare(proxy: Oracle, http: Transport, provider: str, model: str, **more: Any) -> Model:  # noqa: ANN401 - any field
    key = more.pop("api_key", Key([proxy.key]))
    return PROVIDERS[provider](ModelSpec("voice", provider, proxy.endpoint, model, key, images=True, **more), http)


def wrapped(proxy: Oracle, http: Transport, provider: str, model: str) -> Model:
    own = bare(proxy, http, provider, model)
    return build_models([own.spec], lambda _: own)["voice"]


def passed_on(proxy: Oracle) -> dict[str, Any]:
    """The one question that reached the upstream."""
    [body] = [call.body for call in proxy.upstream.upstream.calls if call.body is not None]
    return dict(body)


@pytest.mark.parametrize(("provider", "model", "name"), _ASKED)
async def test_the_oracle_refuses_what_the_model_has_no_place_for(
    provider: str, model: str, name: str, proxy: Oracle, http: Transport
) -> None:
    failure = await Caller().failure(bare(proxy, http, provider, model), prompt=PROMPTS[name])
    assert failure == ("ModelRejectedRequest" if name in REFUSED[provider, model] else "")


@pytest.mark.parametrize(("provider", "model", "name"), _ASKED)
async def test_a_model_that_refuses_a_setting_answers_without_it_and_no_other_is_lost(
    provider: str, model: str, name: str, proxy: Oracle, http: Transport
) -> None:
    reply = await Caller().ask(wrapped(proxy, http, provider, model), prompt=PROMPTS[name])
    assert reply.text == "Fine, thanks."
    arrived = passed_on(proxy).keys() & _WORDS.get(name, {name, "random_seed"} if name == "seed" else {name})
    assert bool(arrived) is (name not in REFUSED[provider, model] | _UNSENT[provider])
    assert "tools" not in passed_on(proxy)


@pytest.mark.parametrize(("provider", "model"), REFUSED)
async def test_a_model_that_is_sent_every_setting_at_once_answers(
    provider: str, model: str, proxy: Oracle, http: Transport
) -> None:
    every = replace(PROMPTS["everything"], response_schema=None)
    reply = await Caller().ask(wrapped(proxy, http, provider, model), prompt=every)
    assert reply.text == "Fine, thanks."


@pytest.mark.parametrize("schema", ["closed schema", "open schema"])
@pytest.mark.parametrize(("provider", "model"), REFUSED)
async def test_a_model_that_is_held_to_a_schema_answers(
    provider: str, model: str, schema: str, proxy: Oracle, http: Transport
) -> None:
    reply = await Caller().ask(wrapped(proxy, http, provider, model), prompt=PROMPTS[schema])
    assert reply.text == "Fine, thanks."


async def test_an_overloaded_house_behind_it_is_known_as_one(proxy: Oracle, http: Transport) -> None:
    proxy.upstream.script("gpt-5-mini", Status(503, kind="server_error"))
    failure = await Caller().failure(bare(proxy, http, "openai", "gpt-5-mini"), prompt=PROMPTS["plain"])
    assert failure == "ModelUnavailable"


async def test_a_mixture_of_three_houses_with_temperatures_and_a_schema_runs_to_its_answer(
    proxy: Oracle, start: Start
) -> None:
    skip_unless(importlib.util.find_spec("xllamacpp") is not None, "the local model (.ci/pins/embedded.txt)")
    proxy.upstream.script("gpt-5-mini", Speech(json.dumps(PLACE)))
    async with local_model(slots=1, context=4096) as local:
        there = {"endpoint": proxy.endpoint, "api_key": {"env": "ORACLE_KEY"}, "window": 32768, "max_output": 512}
        here = {"endpoint": local.url, "api_key": {"env": "LOCAL_KEY"}, "window": local.window, "max_output": 64}
        server = start(
            {
                "models": {
                    "gpt-5-mini": {"provider": "openai", **there},
                    "claude-sonnet-5": {"provider": "anthropic", **there},
                    "local": {"provider": "llama.cpp", "model": local.name, **here},
                },
                "agents": {
                    "quick": {"model": "gpt-5-mini", "sampling": {"temperature": 0.3}},
                    "thorough": {"model": "claude-sonnet-5", "sampling": {"temperature": 0.7, "top_p": 0.9}},
                    "near": {"model": "local", "sampling": {"temperature": 0.5}},
                    "editor": {"model": "gpt-5-mini", "sampling": {"temperature": 0.2}},
                },
                "mixtures": {
                    "council": {
                        "strategy": "aggregate",
                        "layers": [["quick", "thorough", "near"]],
                        "aggregator": "editor",
                        "allow": {"response_schema": True},
                    }
                },
                "server": {"listen": "127.0.0.1:0"},
            },
            ORACLE_KEY=proxy.key,
            LOCAL_KEY=local.key,
        )
        async with AsyncClient(server.target, timeout=60) as client:
            response = await client.query("Which mountain?", mixture="council", response_schema=json.loads(OPEN))
    assert json.loads(response.answer.text) == PLACE
    assert {proposal.agent for layer in response.layers for proposal in layer.proposals} >= {
        "quick",
        "thorough",
        "near",
    }
