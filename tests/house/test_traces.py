"""What a run leaves in traces and logs: one tree in the caller's own trace, and nobody's words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no stubs
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from moa import Client
from tests.house.configurations import council
from tests.house.servers import Server, Start
from tests.telemetry.collector import Collector, collecting
from tests.upstream import Speech, Status, UpstreamThread

TRACE_ID, CALLERS_SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
ASKED, PROPOSED, THOUGHT, ANSWERED = "words-asked", "words-proposed", "words-thought", "words-answered"
COMPLAINED = "words-complained"
WORDS = (ASKED, PROPOSED, THOUGHT, ANSWERED, COMPLAINED)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@contextmanager
def callers_trace() -> Iterator[None]:
    context = SpanContext(TRACE_ID, CALLERS_SPAN, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with trace.use_span(NonRecordingSpan(context)):
        yield


def asked(server: Server) -> None:
    """Ask once in the caller's trace, and let the server end, so that everything is exported."""
    with Client(server.target, timeout=20) as client, callers_trace():
        client.query(ASKED, mixture="council")
    assert server.stop() == 0


def script(upstream: UpstreamThread) -> None:
    upstream.script("one", Speech(PROPOSED, reasoning=THOUGHT))
    upstream.script("two", Status(400, message=f"{COMPLAINED}: {ASKED} is wrong"))
    upstream.script("editor", Speech(ANSWERED))


def spans(collector: Collector) -> list[Any]:
    return [
        span
        for request in collector.traces
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def tree(found: list[Any], parent: bytes) -> list[Any]:
    """Names, each with those below it."""
    below = sorted((span for span in found if span.parent_span_id == parent), key=lambda span: span.name)
    return [[span.name, *tree(found, span.span_id)] for span in below]


def test_a_run_is_one_tree_in_the_callers_trace_down_to_the_models(
    start: Start, upstream: UpstreamThread, collector: Collector
) -> None:
    script(upstream)
    server = start(council(upstream.endpoint), OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}")
    asked(server)
    found = spans(collector)
    assert {span.trace_id for span in found} == {TRACE_ID.to_bytes(16, "big")}
    agents = [[f"invoke_agent {name}", [f"chat {name}"]] for name in ("one", "three", "two")]
    run = ["invoke_workflow council", ["layer 0", *agents], ["layer 1", ["invoke_agent editor", ["chat editor"]]]]
    assert tree(found, CALLERS_SPAN.to_bytes(8, "big")) == [["moa.v1.MoaService/Query", run]]
    assert {span.name for span in found if span.kind == span.SPAN_KIND_SERVER} == {"moa.v1.MoaService/Query"}
    _check_upstream(found, upstream)
    _check_logs(server)
    _check_silence(server, collector)


def _check_upstream(found: list[Any], upstream: UpstreamThread) -> None:
    """Each model was called in the trace, by the span of its own call."""
    calls = {f"00-{TRACE_ID:032x}-{span.span_id.hex()}-01": span.name for span in found if span.name.startswith("chat")}
    received = {call.headers["traceparent"]: f"chat {call.model}" for call in upstream.upstream.calls}
    assert received == calls
    assert len(received) == 4


def _check_logs(server: Server) -> None:
    ended = next(line for line in server.log() if line.get("run_id"))
    assert ended["trace_id"] == f"{TRACE_ID:032x}"
    assert ended["mixture"] == "council"


def _check_silence(server: Server, collector: Collector) -> None:
    exported = b"".join(request.SerializeToString() for request in (*collector.traces, *collector.metrics))
    assert b"invoke_workflow" in exported
    assert collector.metrics
    for words in WORDS:
        assert words.encode() not in exported
        assert not any(words in line for line in server.lines)


def test_without_the_standard_variables_nothing_leaves_and_words_are_not_even_in_the_most_detailed_log(
    start: Start, upstream: UpstreamThread
) -> None:
    script(upstream)
    server = start(council(upstream.endpoint, telemetry={"log_level": "debug"}))
    with Client(server.target, timeout=20) as client, callers_trace():
        client.query(ASKED, mixture="council")
        links = [link for link in psutil.Process(server.process.pid).net_connections() if link.raddr]
    called = {link.raddr.port for link in links if link.laddr.port != server.port}
    assert called <= {upstream.upstream.port}
    assert server.stop() == 0
    assert any(line["event"] == "upstream.rejected" for line in server.log())
    assert not any(words in line for line in server.lines for words in WORDS)


def test_words_are_shown_where_the_operator_wants_them(
    start: Start, upstream: UpstreamThread, collector: Collector
) -> None:
    script(upstream)
    settings = council(upstream.endpoint, telemetry={"record_texts": True, "log_level": "debug"})
    server = start(settings, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}")
    asked(server)
    shown = {span.name: _texts(span) for span in spans(collector) if span.name.startswith("chat")}
    assert shown["chat one"] == ([["user", ASKED]], [["assistant", PROPOSED]])
    assert shown["chat two"] == ([["user", ASKED]], [])
    assert shown["chat editor"][1] == [["assistant", ANSWERED]]
    assert PROPOSED in str(shown["chat editor"][0])
    assert THOUGHT not in str(shown)
    assert any(COMPLAINED in line for line in server.lines)


def _texts(span: Any) -> tuple[Any, Any]:  # noqa: ANN401 - a message of OTLP
    attributes = {pair.key: pair.value.string_value for pair in span.attributes}
    found = (json.loads(attributes.get(f"gen_ai.{side}.messages", "[]")) for side in ("input", "output"))
    asked, answered = ([[turn["role"], *_contents(turn)] for turn in turns] for turns in found)
    return asked, answered


def _contents(turn: dict[str, Any]) -> list[str]:
    return [part["content"] for part in turn["parts"]]


def test_nothing_is_exported_where_the_standard_variables_forbid_it(
    start: Start, upstream: UpstreamThread, collector: Collector
) -> None:
    forbidden = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    endpoint = f"http://127.0.0.1:{collector.port}"
    server = start(council(upstream.endpoint), OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **forbidden)
    asked(server)
    assert (collector.traces, collector.metrics) == ([], [])
