"""The names that a configuration may give as a provider."""

from dataclasses import replace

import msgspec
import pytest

from moa_server.domain.model import ModelSpec
from moa_server.providers import PRESETS, PROVIDERS, Transport, options_of
from moa_server.providers.dialects import DIALECTS
from moa_server.providers.presets import Preset
from tests.providers.asker import HELLO, Asker, Key
from tests.upstream import Speech, Upstream


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
    assert preset.endpoint.startswith("http") or name == "azure" or preset == Preset(name)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_dialect_is_a_provider_for_any_endpoint(name: str) -> None:
    assert PRESETS[name].dialect == name
    assert options_of(name) is DIALECTS[name].options


async def test_azure_takes_its_key_and_version_its_own_way(upstream: Upstream, http: Transport) -> None:
    upstream.script("m", Speech("ok"))
    await Asker("azure", upstream.endpoint, http).ask(api_key=Key(["k"]))
    [call] = upstream.calls
    assert call.path == "/v1/chat/completions?api-version=2024-10-21"
    assert call.headers["api-key"] == "k"
    assert "authorization" not in call.headers


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
    await Asker("azure", upstream.endpoint, http).ask(HELLO, dialect={"query": {"api-version": "2027-01-01"}})
    assert upstream.calls[0].path.endswith("?api-version=2027-01-01")
