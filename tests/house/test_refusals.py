"""Requests that cannot be carried out, sent as a tool sends them: one typed refusal each, and no model is called."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.house.configurations import council
from tests.house.reflected import Reflected
from tests.house.servers import Server, starting
from tests.service.refusals import Refusal, unpacked
from tests.upstream import UpstreamThread

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND

USER = {"role": "ROLE_USER", "parts": [{"text": "Why?"}]}
SYSTEM = {"role": "ROLE_SYSTEM", "parts": [{"text": "Be brief."}]}
ASSISTANT = {"role": "ROLE_ASSISTANT", "parts": [{"text": "Because."}]}
SAMPLING = "query.overrides.sampling"


def asking(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"messages": list(messages or [USER]), **more}


def sampling(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return asking(overrides={"sampling": fields})


# What is asked, the code, the reason, and the field that is named.
WRONG_QUERIES: dict[str, tuple[dict[str, Any], grpc.StatusCode, str, str]] = {
    "an empty conversation": ({"messages": []}, INVALID, "INVALID_REQUEST", "query.messages"),
    "a message of nothing": (asking({"role": "ROLE_USER"}), INVALID, "INVALID_REQUEST", "query.messages[0].parts"),
    "an unknown mixture": (asking(mixture="coucil"), NOT_FOUND, "UNKNOWN_MIXTURE", ""),
    "temperature": (sampling(temperature=2.1), INVALID, "INVALID_REQUEST", f"{SAMPLING}.temperature"),
    "temperature no number": (sampling(temperature="NaN"), INVALID, "INVALID_REQUEST", f"{SAMPLING}.temperature"),
    "top_p": (sampling(topP=0), INVALID, "INVALID_REQUEST", f"{SAMPLING}.top_p"),
    "max_tokens": (sampling(maxTokens=0), INVALID, "INVALID_REQUEST", f"{SAMPLING}.max_tokens"),
    "penalty": (sampling(presencePenalty=-3), INVALID, "INVALID_REQUEST", f"{SAMPLING}.presence_penalty"),
    "a late system": (asking(USER, SYSTEM, USER), INVALID, "INVALID_REQUEST", "query.messages[1].role"),
    "the assistant last": (asking(USER, ASSISTANT), INVALID, "INVALID_REQUEST", "query.messages[1].role"),
    "only a system": (asking(SYSTEM), INVALID, "INVALID_REQUEST", "query.messages[0].role"),
    "no role": (asking({"parts": [{"text": "x"}]}, USER), INVALID, "INVALID_REQUEST", "query.messages[0].role"),
    "a long message": (
        asking({"role": "ROLE_USER", "parts": [{"text": "x" * 2000}]}),
        INVALID,
        "INVALID_REQUEST",
        "query.messages[0]",
    ),
    "too many messages": (asking(*[USER] * 9), INVALID, "INVALID_REQUEST", "query.messages"),
    "an unknown agent": (
        asking(mixture="council", overrides={"aggregator": "nobody"}),
        INVALID,
        "OVERRIDE_REFUSED",
        "query.overrides.aggregator",
    ),
    "agents that callers may not choose": (
        asking(mixture="deep", overrides={"layers": [{"agents": ["one"]}]}),
        INVALID,
        "OVERRIDE_REFUSED",
        "query.overrides.layers[0].agents[0]",
    ),
}
WRONG_CALLS: dict[str, tuple[str, dict[str, Any], grpc.StatusCode, str, str]] = {
    "a negative sequence": (
        "WatchRun",
        {"runId": "7f3", "after": {"epoch": 1, "sequence": -1}},
        INVALID,
        "INVALID_REQUEST",
        "after.sequence",
    ),
    "a negative sequence of a new run": (
        "Synthesize",
        {"query": asking(), "after": {"epoch": 1, "sequence": -1}},
        INVALID,
        "INVALID_REQUEST",
        "after.sequence",
    ),
    "no run": ("WatchRun", {}, INVALID, "INVALID_REQUEST", "run_id"),
    "an unknown run watched": ("WatchRun", {"runId": "7f3"}, NOT_FOUND, "RUN_NOT_FOUND", ""),
    "an unknown request watched": ("WatchRun", {"requestId": "7f3"}, NOT_FOUND, "RUN_NOT_FOUND", ""),
    "an unknown run's layer": ("LayerResult", {"runId": "7f3"}, NOT_FOUND, "RUN_NOT_FOUND", ""),
    "an unknown run cancelled": ("CancelRun", {"runId": "7f3"}, NOT_FOUND, "RUN_NOT_FOUND", ""),
    "a negative layer": ("LayerResult", {"runId": "7f3", "index": -1}, INVALID, "INVALID_REQUEST", "index"),
    "no query": ("Query", {}, INVALID, "INVALID_REQUEST", "query"),
}


@pytest.fixture(scope="module")
def shared_server(shared_upstream: UpstreamThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limits = {"message_size": "1KiB", "messages": 8}
    with starting(tmp_path_factory.mktemp("refusals")) as start:
        yield start(council(shared_upstream.endpoint, limits=limits))


@pytest.fixture(scope="module")
def tool(shared_server: Server) -> Iterator[Reflected]:
    with grpc.insecure_channel(shared_server.target) as channel:
        yield Reflected.of(channel)


def refusal_of(tool: Reflected, method: str, request: dict[str, Any]) -> Refusal:
    with pytest.raises(grpc.RpcError) as refused:
        tool.call(method, request)
    call: Any = refused.value
    trailers = dict(call.trailing_metadata() or ())
    return unpacked(call.code(), call.details(), trailers.get("grpc-status-details-bin", b""), trailers)


def check(refused: Refusal, code: grpc.StatusCode, reason: str, field: str) -> None:
    assert (refused.code, refused.reason) == (code, reason)
    assert refused.fields == ([field] if field else [])


@pytest.mark.parametrize("what", WRONG_QUERIES)
def test_a_query_that_cannot_be_answered_is_refused_by_every_method(
    tool: Reflected, house: UpstreamThread, what: str
) -> None:
    query, code, reason, field = WRONG_QUERIES[what]
    for method in ("Query", "Synthesize", "ExplainPlan"):
        check(refusal_of(tool, method, {"query": query}), code, reason, field)
    assert house.upstream.calls == []


@pytest.mark.parametrize("what", WRONG_CALLS)
def test_a_call_about_what_is_not_there_is_refused(tool: Reflected, house: UpstreamThread, what: str) -> None:
    method, request, code, reason, field = WRONG_CALLS[what]
    check(refusal_of(tool, method, request), code, reason, field)
    assert house.upstream.calls == []


def test_a_mistyped_mixture_is_told_its_nearest(tool: Reflected) -> None:
    refused = refusal_of(tool, "Query", {"query": asking(mixture="coucil")})
    assert refused.metadata == {"mixture": "coucil", "nearest": "council"}


@pytest.mark.parametrize("method", ["Query", "Synthesize"])
def test_a_deadline_that_is_past_starts_nothing(tool: Reflected, house: UpstreamThread, method: str) -> None:
    assert refusal_of_code(tool, method) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert house.upstream.calls == []


def refusal_of_code(tool: Reflected, method: str) -> grpc.StatusCode:
    """The client's own core ends most such calls, so that there may be no details to read."""
    with pytest.raises(grpc.RpcError) as refused:
        tool.call(method, {"query": asking()}, timeout=0)
    call: Any = refused.value
    code: grpc.StatusCode = call.code()
    return code


def test_a_budget_that_leaves_no_time_is_refused(tool: Reflected, house: UpstreamThread) -> None:
    refused = refusal_of(tool, "Query", {"query": asking(overrides={"budget": {"time": "0.001s"}})})
    assert (refused.code, refused.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert house.upstream.calls_of("editor") == []


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x05abc"])
def test_bytes_that_are_no_request_are_refused(tool: Reflected, house: UpstreamThread, raw: bytes) -> None:
    query: grpc.UnaryUnaryMultiCallable[bytes, bytes] = tool.channel.unary_unary("/moa.v1.MoaService/Query")
    with pytest.raises(grpc.RpcError) as refused:
        query(raw)
    call: Any = refused.value
    assert call.code() is INVALID
    assert house.upstream.calls == []


def test_the_same_tool_gets_an_answer_when_it_asks_well(tool: Reflected, house: UpstreamThread) -> None:
    [response] = tool.call("Query", {"query": asking(SYSTEM, USER, ASSISTANT, USER)})
    assert response["answer"]["text"] == "the answer"
    assert "runSucceeded" in tool.call("Synthesize", {"query": asking()})[-1]["events"][-1]
    assert len(house.upstream.calls) == 8
