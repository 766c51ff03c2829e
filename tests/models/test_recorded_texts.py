"""Where the operator wants it, the span of a call holds its texts."""

import json
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: TID251

from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Image, Message, Part, Role
from moa_server.domain.errors import ModelStreamCut
from moa_server.domain.model import Prompt
from moa_server.models.accounted import Accounted
from moa_server.models.recorded_texts import RecordedTexts
from moa_server.telemetry import names
from tests.models.fakes import PROMPT, Caller, scripted
from tests.models.test_spans import attributes, spans
from tests.models.timeless_loop import timeless

__all__ = ["spans"]


def shown(spans: InMemorySpanExporter, key: str) -> Any:  # noqa: ANN401 - JSON
    [span] = spans.get_finished_spans()
    text = attributes(span).get(key)
    return None if text is None else json.loads(text)


def test_what_was_asked_and_answered_is_in_the_attempts_span(spans: InMemorySpanExporter) -> None:
    picture = Message(Role.USER, (Part("What’s this?"), Part(image=Image("image/png", b"secret"))))

    @timeless
    async def check() -> None:
        prompt = Prompt((Message.of(Role.SYSTEM, "Be brief."), picture), Sampling())
        await Caller().ask(Accounted(RecordedTexts(scripted("m", ["A ", "cat"]))), prompt=prompt)

    check()
    assert shown(spans, names.INPUT_MESSAGES) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "What’s this?"},
                {"type": "blob", "mime_type": "image/png", "modality": "image"},
            ],
        },
    ]
    [said] = shown(spans, names.OUTPUT_MESSAGES)
    assert (said["role"], said["parts"]) == ("assistant", [{"type": "text", "content": "A cat"}])


def test_of_a_call_that_failed_only_what_was_asked_is_shown(spans: InMemorySpanExporter) -> None:
    @timeless
    async def check() -> None:
        await Caller().failure(Accounted(RecordedTexts(scripted("m", ["A ", ModelStreamCut("cut")]))))

    check()
    assert shown(spans, names.INPUT_MESSAGES)[0]["parts"][0]["content"] == PROMPT.messages[0].text
    assert shown(spans, names.OUTPUT_MESSAGES) is None


def test_where_nothing_is_traced_it_is_only_the_provider() -> None:
    model = scripted("m", ["hello"])

    @timeless
    async def check() -> None:
        assert (await Caller().ask(RecordedTexts(model))).text == "hello"

    check()
    assert RecordedTexts(model).spec is model.spec
