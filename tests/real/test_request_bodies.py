"""What every preset sends is what the official SDK of its house could send: field by field, with nothing besides."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest

from moa_server.domain.errors import ModelError
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.providers import PRESETS, PROVIDERS
from tests.models.fakes import Caller
from tests.real.programmes import Sdks
from tests.real.prompts import PROMPTS

_OWN: Final = {"mistral": "mistralai", "groq": "groq", "together": "together"}
"""Whose house has an SDK of its own. The others are asked with that of the dialect."""
_OF_DIALECT: Final = {"openai": "openai", "responses": "openai responses", "anthropic": "anthropic"}

_BEYOND: Final[Mapping[tuple[str, str], str]] = {
    ("anthropic", "temperature"): "the SDK gave it up with Claude Opus 4.7; older models take it still",
    ("anthropic", "top_p"): "as temperature",
    (
        "groq",
        "stream_options",
    ): "the SDK's own type of an answer says that its counts come only where they are asked for",
    ("together", "stream_options"): "as its counts would else be guessed: nothing says that they come unasked",
}
"""What is sent though the SDK's type lacks it, by preset and field, and why."""


@dataclass(eq=False)
class Recorder(httpx.AsyncBaseTransport):
    """Writes down what is sent, and sends nothing."""

    bodies: list[Any] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content))
        raise httpx.ConnectError("nobody is there")


async def sent(preset: str, prompt: Prompt, **dialect: object) -> dict[str, Any]:
    """The body of the question that a preset asks at its own endpoint."""
    recorder = Recorder()
    endpoint = PRESETS[preset].endpoint or "http://models.example/v1"
    spec = ModelSpec("voice", preset, endpoint, "m", images=True, dialect=dialect)
    with pytest.raises(ModelError):
        await Caller().ask(PROVIDERS[preset](spec, recorder), prompt=prompt)
    assert len(recorder.bodies) == 1
    body: dict[str, Any] = recorder.bodies[0]
    return body


def sdk_of(preset: str) -> str:
    return _OWN.get(preset) or _OF_DIALECT[PRESETS[preset].dialect]


def beyond(preset: str) -> set[str]:
    return {name for of, name in _BEYOND if of == preset}


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("preset", PRESETS)
async def test_a_body_has_a_place_in_the_sdk_of_its_house(preset: str, prompt: str, sdks: Sdks) -> None:
    refused = sdks.do("check", sdk=sdk_of(preset), body=await sent(preset, PROMPTS[prompt]))
    assert {name: words for name, words in refused.items() if name not in beyond(preset)} == {}


@pytest.mark.parametrize(("preset", "name"), _BEYOND)
async def test_what_is_sent_beyond_the_sdk_is_still_no_part_of_it(preset: str, name: str, sdks: Sdks) -> None:
    body = await sent(preset, PROMPTS.get(name, PROMPTS["plain"]))
    assert name in body
    assert name in sdks.do("check", sdk=sdk_of(preset), body=body)


@pytest.mark.parametrize("prompt", ["turns", "everything"])
async def test_marks_for_the_prompt_cache_are_those_of_the_sdk(prompt: str, sdks: Sdks) -> None:
    body = await sent("anthropic", PROMPTS[prompt], prompt_cache=True)
    assert "cache_control" in json.dumps(body)
    assert sdks.do("check", sdk="anthropic", body=body).keys() <= beyond("anthropic")


@pytest.mark.parametrize("schema", ["closed schema", "open schema"])
@pytest.mark.parametrize("preset", PRESETS)
async def test_a_schema_that_is_to_be_kept_to_strictly_is_one_that_the_sdk_would_not_change(
    preset: str, schema: str, sdks: Sdks
) -> None:
    body = await sent(preset, PROMPTS[schema])
    if PRESETS[preset].dialect == "anthropic":
        held = body["output_config"]["format"]["schema"]
        assert sdks.do("fitting", dialect="anthropic", schema=held) == held
        return
    held = body.get("text", {}).get("format") or body.get("response_format", {}).get("json_schema") or {}
    if held.get("strict"):
        assert sdks.do("fitting", dialect="openai", schema=held["schema"]) == held["schema"]
