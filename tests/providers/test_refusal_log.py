"""The operator is told why a model is refused: in identifiers, and no more than once a minute for each reason."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from moa_server.domain import errors
from moa_server.domain.conversation import Message, Role
from moa_server.domain.model import Prompt
from moa_server.domain.ports import CallTerms
from moa_server.providers.refusal_log import RefusalLog
from tests.models.timeless_loop import TimelessLoop, timeless
from tests.providers.asker import HELLO, Asker, Key, NoAccount
from tests.upstream import Status, Upstream
from tests.upstream.picky import by_param, complaint

Line = MutableMapping[str, Any]


def warned(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["log_level"] == "warning"]


async def test_a_refusal_is_told_with_the_endpoints_identifiers_and_without_its_words(
    asker: Asker, upstream: Upstream
) -> None:
    upstream.script("m", by_param("temperature"))
    with capture_logs() as lines:
        await asker.failure()
    assert warned(lines) == [
        {
            "event": "upstream.refused",
            "log_level": "warning",
            "model": "voice",
            "reason": "MODEL_REJECTED_REQUEST",
            "status": "400",
            "code": "unsupported_parameter",
            "type": "invalid_request_error",
            "param": "temperature",
            "withheld": 0,
        }
    ]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
async def test_nothing_of_the_prompt_is_in_the_warning(asker: Asker, upstream: Upstream, status: int) -> None:
    words = "the secret plan of the prompt"
    upstream.script("m", complaint(words, status=status, param=words, code=words))
    with capture_logs() as lines:
        await asker.failure(Prompt((Message.of(Role.USER, words),)), api_key=Key(["a-key"]))
    [line] = warned(lines)
    assert line["status"] == str(status)
    assert "secret" not in str(line)
    assert "a-key" not in str(lines)


async def test_a_key_that_cannot_be_sent_is_told(asker: Asker) -> None:
    with capture_logs() as lines:
        await asker.failure(api_key=Key([""]))
    assert [line["reason"] for line in warned(lines)] == ["MODEL_CREDENTIALS_REFUSED"]


async def test_many_calls_of_a_model_are_one_line(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Status(401))
    model, terms = openai.model(), CallTerms(lambda _: None, NoAccount(), asyncio.get_running_loop().time() + 20)
    with capture_logs() as lines:
        for _ in range(20):
            with pytest.raises(errors.ModelCredentialsRefused):
                await model.speak(HELLO, terms)
    assert len(warned(lines)) == 1


@pytest.mark.parametrize("status", [408, 413, 429, 500, 503, 529])
async def test_what_passes_is_nothing_for_the_operator_to_mend(asker: Asker, upstream: Upstream, status: int) -> None:
    upstream.script("m", Status(status))
    with capture_logs() as lines:
        await asker.failure()
    assert warned(lines) == []


@timeless
async def test_each_reason_is_told_once_a_minute_with_how_many_were_withheld() -> None:
    log = RefusalLog("m")
    key, unknown = errors.ModelCredentialsRefused("no"), errors.ModelUnknown("who")
    with capture_logs() as lines:
        for _ in range(5):
            log.note(key)
            log.note(unknown)
        _pass_over(59.0)
        log.note(key)
        _pass_over(1.0)
        log.note(key)
        log.note(key)
    assert [(line["reason"], line["withheld"]) for line in warned(lines)] == [
        ("MODEL_CREDENTIALS_REFUSED", 0),
        ("MODEL_UNKNOWN", 0),
        ("MODEL_CREDENTIALS_REFUSED", 5),
    ]


def _pass_over(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TimelessLoop)
    loop.pass_over(seconds)
