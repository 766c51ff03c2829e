"""Every attempt is one span of a client, with numbers and names and without a word of anybody's text."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: TID251 - reads the spans that were made
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: TID251
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: TID251
from opentelemetry.trace import SpanKind, StatusCode

from moa_server.domain.errors import ModelStreamCut, ModelUnavailable
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.domain.reliability import RetryRule
from moa_server.models import accounted
from moa_server.models.accounted import Accounted
from moa_server.models.retry import Retry
from moa_server.telemetry import names
from tests.models.fakes import PROMPT, Caller, scripted, spec
from tests.models.timeless_loop import timeless

SPOKEN = "unmistakable words"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(accounted, "_tracer", provider.get_tracer("test"))
    return exporter


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def test_each_attempt_is_a_span(spans: InMemorySpanExporter) -> None:
    @timeless
    async def check() -> None:
        provider = scripted("m", [ModelUnavailable("500")], [SPOKEN])
        await Caller().ask(Retry(Accounted(provider), RetryRule(base_s=0.0)))

    check()
    failed, succeeded = spans.get_finished_spans()
    assert (failed.name, failed.kind, failed.status.status_code) == (
        "chat upstream-m",
        SpanKind.CLIENT,
        StatusCode.ERROR,
    )
    assert attributes(failed)[names.ERROR_TYPE] == "MODEL_UNAVAILABLE"
    assert attributes(failed)[names.USAGE_CERTAINTY] == "estimated"
    assert succeeded.status.status_code is StatusCode.UNSET
    assert dict(attributes(succeeded)) == {
        names.OPERATION_NAME: "chat",
        names.PROVIDER_NAME: "fake",
        names.MODEL: "m",
        names.REQUEST_MODEL: "upstream-m",
        names.REQUEST_MAX_TOKENS: 100,
        names.ATTEMPT_KIND: "retry",
        names.RESPONSE_MODEL: "served-m",
        names.FINISH_REASONS: ("stop",),
        names.INPUT_TOKENS: 10,
        names.OUTPUT_TOKENS: 1,
        names.CACHED_INPUT_TOKENS: 0,
        names.CACHE_WRITE_TOKENS: 0,
        names.REASONING_TOKENS: 0,
        names.USAGE_CERTAINTY: "known",
    }


def test_no_text_is_in_a_span(spans: InMemorySpanExporter) -> None:
    @timeless
    async def check() -> None:
        await Caller().failure(Accounted(scripted("m", [SPOKEN, ModelStreamCut(SPOKEN)])))
        await Caller().failure(Accounted(scripted("m", [ValueError(SPOKEN)])))

    check()
    for span in spans.get_finished_spans():
        assert SPOKEN not in span.to_json()
        assert PROMPT.messages[0].text not in span.to_json()


def test_a_cancelled_attempt_says_so(spans: InMemorySpanExporter) -> None:
    @timeless
    async def check() -> None:
        task = asyncio.create_task(Caller().ask(Accounted(scripted("m", [100.0]))))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    check()
    [span] = spans.get_finished_spans()
    assert attributes(span)[names.ERROR_TYPE] == "STRAGGLER_CUT"


class _Looking:
    """A provider that looks at the trace it is in."""

    spec = spec()

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self.span_id = trace.get_current_span().get_span_context().span_id
        return Reply("x")


def test_the_provider_is_inside_its_attempts_span(spans: InMemorySpanExporter) -> None:
    provider = _Looking()

    @timeless
    async def check() -> None:
        await Caller().ask(Accounted(provider))

    check()
    [span] = spans.get_finished_spans()
    assert span.context is not None
    assert provider.span_id == span.context.span_id
