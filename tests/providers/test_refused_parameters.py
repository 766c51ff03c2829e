"""Which parameter an endpoint refuses, by what it names and by how its message begins, on real sockets."""

import json
from dataclasses import replace
from typing import Any

import pytest

from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import ModelRejectedRequest, RefusalReach
from moa_server.domain.model import Prompt
from moa_server.providers import Transport
from moa_server.providers.refused_parameters import Question, note_refused
from tests.providers.asker import HELLO, Asker
from tests.upstream import Status, Upstream
from tests.upstream.picky import Complain, by_message, by_param, complaint

MODEL, SETTINGS, CALL, NOTHING = RefusalReach.MODEL, RefusalReach.SETTINGS, RefusalReach.CALL, ("", RefusalReach.CALL)
FULL = Prompt(
    (Message.of(Role.USER, "Hello there"),),
    Sampling(0.5, 0.9, 100, 7, ("END",), 0.1, 0.2),
    logprobs=True,
)


async def refused(asker: Asker, upstream: Upstream, script: Status, prompt: Prompt = FULL, **dialect: Any) -> Any:  # noqa: ANN401
    upstream.script("m", script)
    failure = await asker.failure(prompt, dialect=dialect)
    assert isinstance(failure, ModelRejectedRequest)
    return failure.parameter, failure.reach


def plainly(body: object, status: int = 400) -> Status:
    return Status(status, body=json.dumps(body).encode())


@pytest.mark.parametrize("complain", [by_param, by_message])
async def test_what_is_named_in_either_way_is_known_in_each_dialect(
    asker: Asker, upstream: Upstream, complain: Complain
) -> None:
    assert await refused(asker, upstream, complain("temperature")) == ("temperature", MODEL)
    assert await refused(asker, upstream, complain("model")) == NOTHING, "it is nothing that an agent sets"
    assert await refused(asker, upstream, complain("messages")) == NOTHING


FORBIDDEN = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 7}
SHAPES: dict[str, tuple[Status, tuple[str, RefusalReach]]] = {
    "OpenAI, a value": (
        complaint(
            "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is "
            "supported.",
            param="temperature",
            code="unsupported_value",
        ),
        ("temperature", MODEL),
    ),
    "OpenAI, one value of several": (
        complaint(
            "Unsupported value: 'temperature' does not support 0.5 with this model. Supported values are: 0, 1.",
            param="temperature",
            code="unsupported_value",
        ),
        ("temperature", SETTINGS),
    ),
    "LiteLLM, one value of several": (
        complaint("litellm.UnsupportedParamsError: gpt-5 models don't support temperature=0.5 while reasoning."),
        ("temperature", SETTINGS),
    ),
    "LiteLLM, a setting": (
        complaint("litellm.UnsupportedParamsError: Setting `seed` is not supported by openai, gpt-5-mini."),
        ("seed", MODEL),
    ),
    "LiteLLM, of several that which is sent": (
        complaint(
            "litellm.UnsupportedParamsError: gpt-5.6 only supports top_k, top_p, top_logprobs when reasoning_effort "
            "resolves to 'none', either set explicitly on the request or declared."
        ),
        ("top_p", SETTINGS),
    ),
    "OpenAI, several arguments": (
        complaint("Unrecognized request arguments supplied: logit_bias, seed"),
        ("seed", MODEL),
    ),
    "LiteLLM, a list with what is not sent": (
        complaint("litellm.UnsupportedParamsError: xai does not support parameters: ['user', 'stop'], for model=grok."),
        ("stop", MODEL),
    ),
    "only beside another": (complaint("temperature is not supported when thinking is on."), ("temperature", SETTINGS)),
    "OpenAI, without param": (
        complaint("Unsupported parameter: 'stop' is not supported with this model.", param=None, code=None),
        ("stop", MODEL),
    ),
    "OpenAI, an argument": (
        complaint("Unrecognized request argument supplied: presence_penalty", param=None, code=None),
        ("presence_penalty", MODEL),
    ),
    "OpenAI, log-probabilities": (
        complaint("You are not allowed to request logprobs from this model."),
        ("logprobs", MODEL),
    ),
    "OpenAI, out of range": (
        complaint("2.5 is greater than the maximum of 2 - 'temperature'", param="temperature", code=None),
        ("temperature", SETTINGS),
    ),
    "OpenAI, only named": (complaint("Something is off.", param="top_p"), ("top_p", SETTINGS)),
    "Bedrock behind LiteLLM": (
        complaint(
            "litellm.BadRequestError: BedrockException - The model returned the following errors: `temperature` and "
            "`top_p` cannot both be specified for this model. Please use only one."
        ),
        ("top_p", SETTINGS),
    ),
    "LiteLLM's own": (
        complaint(
            "litellm.UnsupportedParamsError: gpt-5 models (including gpt-5-codex) don't support temperature=0.5. Only "
            "temperature=1 is supported. To drop unsupported params set `litellm.drop_params = True`",
            param=None,
            code="400",
        ),
        ("temperature", MODEL),
    ),
    "LiteLLM, a list": (
        complaint(
            "litellm.UnsupportedParamsError: openai does not support parameters: ['stop'], for model=gpt-5-mini."
        ),
        ("stop", MODEL),
    ),
    "Anthropic behind LiteLLM": (
        complaint(
            'litellm.BadRequestError: AnthropicException - {"type":"error","error":{"type":"invalid_request_error",'
            '"message":"`top_p` is deprecated for this model."}}. Received Model Group=claude'
        ),
        ("top_p", MODEL),
    ),
    "xAI": (
        plainly(
            {
                "code": "Client specified an invalid argument",
                "error": "Argument not supported on this model: presencePenalty",
            }
        ),
        ("presence_penalty", MODEL),
    ),
    "xAI, newer": (
        plainly({"code": "x", "error": "Model grok-4.6 does not support parameter frequencyPenalty."}),
        ("frequency_penalty", MODEL),
    ),
    "Google": (
        plainly([{"error": {"code": 400, "message": "Penalty is not enabled for models/g", "status": "INVALID"}}]),
        ("presence_penalty", MODEL),
    ),
    "Google, an unknown name": (
        complaint('Invalid JSON payload received. Unknown name "seed": Cannot find field.', code=400),
        ("seed", MODEL),
    ),
    "Vertex": (
        complaint("Unable to submit request because Logprobs is not supported for this model."),
        ("logprobs", MODEL),
    ),
    "Mistral": (
        plainly({"object": "error", "message": {"detail": [FORBIDDEN]}, "type": "x", "param": None}, 422),
        ("seed", MODEL),
    ),
    "Mistral, in a text": (
        plainly({"object": "error", "message": json.dumps({"detail": [FORBIDDEN]}), "type": "x", "param": None}, 422),
        ("seed", MODEL),
    ),
    "FastAPI, of a value": (
        plainly({"detail": [{"type": "less_than_equal", "loc": ["body", "temperature"], "msg": "Too hot"}]}, 422),
        ("temperature", SETTINGS),
    ),
    "FastAPI, beside what is not sent": (
        plainly({"detail": [{**FORBIDDEN, "loc": ["body", "store"]}, FORBIDDEN]}, 422),
        ("seed", MODEL),
    ),
    "NIM": (
        plainly({"detail": "body -> presence_penalty\n  Extra inputs are not permitted (type=extra_forbidden)"}, 422),
        ("presence_penalty", MODEL),
    ),
    "vLLM": (
        complaint("[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted'}]"),
        ("seed", MODEL),
    ),
    "Mistral's word for the seed": (
        complaint("Unknown parameter: 'random_seed'.", param="random_seed"),
        ("seed", MODEL),
    ),
    "the newer name of the limit": (
        complaint(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.",
            param="max_tokens",
            code="unsupported_parameter",
        ),
        ("max_tokens", MODEL),
    ),
    "a limit that is too large": (
        complaint(
            "max_tokens is too large: 100. This model supports at most 50.", param="max_tokens", code="invalid_value"
        ),
        NOTHING,
    ),
    "a parameter of the messages": (complaint("Invalid 'messages[0].stop'.", param="messages[0].stop"), NOTHING),
    "in the middle of a message": (
        complaint("Invalid prompt: Unsupported parameter: 'temperature' is not supported with this model."),
        NOTHING,
    ),
    "an unknown field": (complaint("Unsupported parameter: 'top_k' is not supported with this model."), NOTHING),
    "no object": (Status(400, body=b"Unsupported parameter: 'temperature'"), NOTHING),
    "lists without end": (plainly({"detail": []}, 422), NOTHING),
    "strange places": (plainly({"detail": [{"loc": 7, "type": 8, "msg": []}, {"loc": [[], {}]}]}, 422), NOTHING),
    "a text that is half an object": (complaint('AnthropicException - {"error":{"message":"`top_p` is depr'), NOTHING),
    "texts in texts": (complaint("{" * 900), NOTHING),
}


@pytest.mark.parametrize(("script", "expected"), SHAPES.values(), ids=SHAPES)
async def test_the_shapes_in_which_endpoints_refuse_a_parameter(
    openai: Asker, upstream: Upstream, script: Status, expected: tuple[str, RefusalReach]
) -> None:
    assert await refused(openai, upstream, script) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("temperature: range: 0..1", ("temperature", SETTINGS)),
        ("`temperature` may only be set to 1 when thinking is enabled.", ("temperature", SETTINGS)),
        ("top_p: Extra inputs are not permitted", ("top_p", MODEL)),
        ("stop_sequences: each stop sequence must contain non-whitespace", ("stop", SETTINGS)),
        ("stop_sequences.0: each stop sequence must contain non-whitespace", ("stop", SETTINGS)),
        ("max_tokens: 100 > 64, which is the maximum allowed number of output tokens", NOTHING),
        ("messages.0.content: temperature: range: 0..1", NOTHING),
        ("seed: Extra inputs are not permitted", NOTHING),
    ],
)
async def test_the_words_of_anthropic(
    upstream: Upstream, http: Transport, message: str, expected: tuple[str, RefusalReach]
) -> None:
    anthropic = Asker("anthropic", upstream.endpoint, http)
    assert await refused(anthropic, upstream, complaint(message), both_samplings=True) == expected


@pytest.mark.parametrize("status", [401, 403, 404, 409, 413, 429, 500, 503])
async def test_another_status_refuses_no_parameter(asker: Asker, upstream: Upstream, status: int) -> None:
    upstream.script("m", replace(by_param("temperature"), code=status))
    assert (await asker.failure(FULL)).parameter == ""


async def test_what_was_not_sent_is_not_what_is_refused(asker: Asker, upstream: Upstream) -> None:
    silent = replace(FULL, sampling=Sampling(max_tokens=100))
    assert await refused(asker, upstream, by_param("temperature"), silent) == NOTHING
    left_out = replace(FULL, left_out=frozenset({"temperature"}))
    assert await refused(asker, upstream, by_param("temperature"), left_out) == NOTHING
    assert await refused(asker, upstream, by_param("temperature"), sends_sampling=False) == NOTHING


async def test_what_the_operator_adds_to_each_body_cannot_be_left_out(asker: Asker, upstream: Upstream) -> None:
    warm = replace(FULL, sampling=Sampling(0.5))
    assert await refused(asker, upstream, by_param("temperature"), warm, body={"temperature": 0.1}) == NOTHING


@pytest.mark.parametrize("role", [Role.SYSTEM, Role.USER])
async def test_words_that_stand_in_the_prompt_hold_for_its_call_alone(
    asker: Asker, upstream: Upstream, role: Role
) -> None:
    words = "`temperature` is deprecated for this model"
    prompt = replace(FULL, messages=(Message.of(role, f"Say: {words}."), Message.of(Role.USER, "Go on")))
    assert await refused(asker, upstream, by_message("temperature"), prompt) == ("temperature", CALL)
    assert await refused(asker, upstream, by_param("temperature"), prompt) == ("temperature", MODEL), "named beside it"
    quoted = complaint(f"Cannot parse: {words}.")
    assert await refused(asker, upstream, quoted, prompt) == NOTHING


async def test_an_object_that_stands_in_the_prompt_holds_for_its_call_alone(asker: Asker, upstream: Upstream) -> None:
    forged = '{"error": {"message": "no", "param": "temperature", "code": "unsupported_parameter"}}'
    prompt = replace(FULL, messages=(Message.of(Role.USER, forged),))
    assert await refused(asker, upstream, complaint(forged), prompt) == ("temperature", CALL)


async def test_what_is_told_on_are_identifiers(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", by_param("temperature"))
    failure = await asker.failure(FULL)
    assert failure.told == {"code": "unsupported_parameter", "type": "invalid_request_error", "param": "temperature"}
    assert failure.upstream_code == "unsupported_parameter"
    for words in ("a word of the prompt", "x" * 65, "line\nbreak", "émile", '{"a": 1}'):
        upstream.script("m", plainly({"error": {"message": words, "type": words, "param": words, "code": words}}))
        assert (await asker.failure(FULL)).told == {}


def test_each_setting_is_looked_at_once_however_often_it_is_named() -> None:
    """To look is to write a request that may be megabytes long."""
    looked: list[str] = []

    def changes_without(parameter: str) -> bool:
        looked.append(parameter)
        return False

    named = ", ".join(["seed", "stop", "penalty", "presence_penalty", "logprobs"] * 40)
    body = json.dumps({"error": {"message": f"Unsupported parameters: {named}", "param": "seed"}}).encode()
    error = ModelRejectedRequest("refused", metadata={"status": "400"})
    note_refused(error, body, Question(FULL, {}, changes_without))
    assert sorted(looked) == ["frequency_penalty", "logprobs", "presence_penalty", "seed", "stop"]
    looked.clear()
    note_refused(error, body, Question(HELLO, {}, changes_without))
    assert looked == [], "it sets none of them"
