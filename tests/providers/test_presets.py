"""The names that a configuration may give as a provider."""

from dataclasses import replace

import msgspec
import pytest

from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.usage import Usage
from moa_server.providers import PRESETS, PROVIDERS, Transport, options_of, unsent_settings
from moa_server.providers.dialects import DIALECTS
from moa_server.providers.presets import Preset
from tests.providers.asker import HELLO, Asker, Key
from tests.upstream import Speech, Upstream

NAMED_BY_THE_OPERATOR = {"azure", "azure-dated", "bedrock", "vertex"}
"""Their endpoints name a resource, a region or a project."""


@pytest.mark.parametrize("name", sorted(PRESETS))
async def test_every_preset_makes_a_model_that_answers(name: str, upstream: Upstream, http: Transport) -> None:
    upstream.script("m", Speech("ok"))
    assert (await Asker(name, upstream.endpoint, http).ask()).text == "ok"


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_sound(name: str, http: Transport) -> None:
    preset = PRESETS[name]
    told = {**preset.settings, **preset.at_home}
    assert msgspec.convert(told, options_of(name)) == options_of(name)(**told)
    endpoint = preset.endpoint or "https://models.example"
    spec = ModelSpec("voice", name, endpoint, "m", dialect={"headers": {"x-a": "b"}})
    assert PROVIDERS[name](spec, http).spec == replace(spec, dialect={**told, "headers": {"x-a": "b"}})
    assert preset.endpoint.startswith("http") or name in NAMED_BY_THE_OPERATOR or preset == Preset(name)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_dialect_is_a_provider_for_any_endpoint(name: str) -> None:
    assert PRESETS[name].dialect == name
    assert options_of(name) is DIALECTS[name].options


def test_the_rules_of_a_house_hold_at_its_own_endpoint_and_the_operators_word_before_them() -> None:
    hot = Sampling(1.5, 0.9, seed=7, stop=("\n",))
    home = ModelSpec("claude", "anthropic", "", "m")
    assert set(unsent_settings(home, hot)) == {"temperature", "seed", "stop"}
    assert set(unsent_settings(home, Sampling(0.5, 0.9))) == {"top_p"}
    thinking = replace(home, reasoning_effort=ReasoningEffort.HIGH, reasoning_tokens=2048)
    assert set(unsent_settings(thinking, Sampling(0.5, 0.9))) == {"temperature", "top_p", "reasoning_tokens"}
    assert set(unsent_settings(replace(home, endpoint="http://127.0.0.1:8080/v1"), hot)) == {"seed"}
    own = replace(home, dialect={"most_temperature": 2.0, "both_samplings": True})
    assert set(unsent_settings(own, hot)) == {"seed", "stop"}
    assert not unsent_settings(ModelSpec("m", "openai", "", "m"), hot)


@pytest.mark.parametrize(("name", "query"), [("azure", ""), ("azure-dated", "?api-version=2024-10-21")])
async def test_azure_takes_its_key_its_own_way_and_a_version_in_its_dated_form_only(
    name: str, query: str, upstream: Upstream, http: Transport
) -> None:
    upstream.script("m", Speech("ok"))
    await Asker(name, upstream.endpoint, http).ask(api_key=Key(["k"]))
    [call] = upstream.calls
    assert call.path == f"/v1/chat/completions{query}"
    assert call.headers["api-key"] == "k"
    assert "authorization" not in call.headers


async def test_a_token_of_entra_goes_to_azure_as_a_bearer(upstream: Upstream, http: Transport) -> None:
    upstream.script("m", Speech("ok"))
    await Asker("azure", upstream.endpoint, http).ask(api_key=Key(["t"]), dialect={"key_header": "authorization"})
    assert upstream.calls[0].headers["authorization"] == "Bearer t"
    assert "api-key" not in upstream.calls[0].headers


SAMPLED = Prompt(HELLO.messages, Sampling(0.5, 0.9, 9, 7, ("end",), 0.1, 0.2), logprobs=True)
ALL = {"temperature", "top_p", "max_tokens", "seed", "stop", "presence_penalty", "frequency_penalty", "logprobs"}
USAGE = {"stream_options"}
COMPLETION = {"max_completion_tokens"}
PENALTIES = {"presence_penalty", "frequency_penalty"}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("azure", ALL - {"max_tokens"} | COMPLETION | USAGE),
        ("bedrock", ALL - {"max_tokens"} | COMPLETION | USAGE),
        ("cerebras", ALL - {"max_tokens"} | COMPLETION | USAGE),
        ("fireworks", ALL | USAGE),
        ("groq", ALL - {"max_tokens", "logprobs", *PENALTIES} | COMPLETION | USAGE),
        ("litellm", ALL | USAGE),
        ("lm-studio", ALL - {"logprobs"} | USAGE),
        ("mistral", ALL - {"seed"} | {"random_seed"}),
        ("nim", ALL | USAGE),
        ("ollama", ALL | USAGE),
        ("together", ALL | USAGE),
        ("vertex", ALL - {"logprobs"} | USAGE),
        ("xai", ALL - {"stop", *PENALTIES} | USAGE),
    ],
)
async def test_every_preset_sends_what_its_house_takes(
    name: str, fields: set[str], upstream: Upstream, http: Transport
) -> None:
    upstream.script("m", Speech("ok"))
    await Asker(name, upstream.endpoint, http).ask(SAMPLED)
    assert upstream.calls[0].body.keys() == fields | {"model", "messages", "stream"}


async def test_xai_counts_reasoning_apart_from_the_completion(upstream: Upstream, http: Transport) -> None:
    counted = {
        "prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 32,
        "completion_tokens_details": {"reasoning_tokens": 20},
    }  # fmt: skip
    upstream.script("m", Speech("ok", usage=counted))
    assert (await Asker("xai", upstream.endpoint, http).ask()).usage == Usage(0, 9, 23, 0, 20)


async def test_gemini_keeps_its_thoughts_to_itself_wherever_they_are_cut(upstream: Upstream, http: Transport) -> None:
    text = "<thought>the <think> of it</thought>\nIt is <four>."
    gemini = Asker("gemini", upstream.endpoint, http)
    for pieces in (1, 7, len(text)):
        upstream.script("m", Speech(text, tokens=pieces))
        reply = await gemini.ask()
        assert (reply.text, "".join(gemini.heard)) == ("It is <four>.", "It is <four>.")
        assert reply.usage.reasoning_tokens > 0


async def test_the_configuration_comes_before_the_preset(upstream: Upstream, http: Transport) -> None:
    upstream.script("m", Speech("ok"))
    await Asker("azure-dated", upstream.endpoint, http).ask(HELLO, dialect={"query": {"api-version": "2027-01-01"}})
    assert upstream.calls[0].path.endswith("?api-version=2027-01-01")
