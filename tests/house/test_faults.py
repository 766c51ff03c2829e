"""Everything a model's endpoint can do wrong, through the whole house: a typed failure of that agent, never text."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from moa import (
    AnswerFailed,
    AsyncClient,
    ModelCredentialsRefused,
    ModelProtocolBroken,
    ModelRejectedRequest,
    ModelsUnusable,
    ModelUnavailable,
    ModelUnknown,
    NoProposals,
    RunCancelled,
    requests,
)
from moa.v1.error_pb2 import ErrorReason
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa.v1.plan_pb2 import (
    DEGRADATION_REASON_AGENT_FAILED,
    DEGRADATION_REASON_AGENT_REFUSED,
    DEGRADATION_REASON_PARAMETER_DROPPED,
)
from moa.v1.run_pb2 import AttemptKind
from tests.house.configurations import council, model
from tests.house.gates import Gate, held
from tests.house.servers import Server, Start, starting
from tests.upstream import (
    Cut,
    Events,
    Garbage,
    KeepAlives,
    Raw,
    Redirect,
    Reset,
    Script,
    Silence,
    Speech,
    Status,
    UpstreamThread,
)
from tests.upstream.picky import Picky, by_message
from tests.upstream.wire import event

HTML = Raw(b"<!doctype html><h1>upstream-words</h1>", content_type="text/html")
HALF = b'data: {"id": "c-1", "choices": [{"index": 0, "delta": {"content": "upstream-words'
ERROR = event({"error": {"message": "upstream-words", "type": "server_error", "code": 500}})
CHUNK = {"id": "c-1", "choices": [{"index": 0, "delta": {"content": "upstream-words"}, "finish_reason": None}]}
HUGE = (b"data: " + b"x" * 1_000_000, *([b"x" * 1_000_000] * 49), b"\n\n")
NO_UTF8 = b'data: {"choices": [{"index": 0, "delta": {"content": "\xff\xfe"}}]}\n\n'
SPOKEN = Speech("upstream-words are said")

FAULTS: dict[str, tuple[Script, str]] = {
    "401": (Status(401, message="upstream-words"), "MODEL_CREDENTIALS_REFUSED"),
    "403": (Status(403, message="upstream-words"), "MODEL_CREDENTIALS_REFUSED"),
    "404": (Status(404, message="upstream-words"), "MODEL_UNKNOWN"),
    "429": (Status(429, message="upstream-words"), "MODEL_THROTTLED"),
    "429 for good": (Status(429, error_code="insufficient_quota"), "MODEL_QUOTA_EXHAUSTED"),
    "400": (Status(400, message="upstream-words"), "MODEL_REJECTED_REQUEST"),
    "500": (Status(500, message="upstream-words"), "MODEL_UNAVAILABLE"),
    "500 in HTML": (Status(500, {"content-type": "text/html"}, b"<h1>upstream-words</h1>"), "MODEL_UNAVAILABLE"),
    "a redirection": (Redirect("http://127.0.0.1:9/v1"), "MODEL_PROTOCOL_BROKEN"),
    "HTML": (HTML, "MODEL_PROTOCOL_BROKEN"),
    "half a JSON": (Raw(HALF), "MODEL_STREAM_CUT"),
    "half a JSON in an event": (Raw(HALF + b"\n\n"), "MODEL_PROTOCOL_BROKEN"),
    "an error inside the stream": (Raw(ERROR), "MODEL_UNAVAILABLE"),
    "an error after some words": (Cut(SPOKEN, by="error"), "MODEL_UNAVAILABLE"),
    "an event of 50 MB": (Raw(HUGE), "MODEL_PROTOCOL_BROKEN"),
    "bytes that are no UTF-8": (Raw(NO_UTF8), "MODEL_PROTOCOL_BROKEN"),
    "no HTTP": (Garbage(), "MODEL_PROTOCOL_BROKEN"),
    "a reset": (Reset(), "MODEL_UNAVAILABLE"),
    "nothing for ever": (Silence(), "MODEL_TIMEOUT"),
    "nothing after the headers": (Silence(after_headers=True), "MODEL_TIMEOUT"),
    "only signs of life": (KeepAlives(), "MODEL_TIMEOUT"),
    "nothing after some words": (Cut(SPOKEN, by="silence"), "MODEL_TIMEOUT"),
    "closed amid the words": (Cut(SPOKEN, by="close"), "MODEL_STREAM_CUT"),
    "reset amid the words": (Cut(SPOKEN, by="reset"), "MODEL_STREAM_CUT"),
    "ended amid the words": (Cut(SPOKEN, by="end"), "MODEL_STREAM_CUT"),
    "an empty answer": (Speech(""), "MODEL_ANSWERED_NOTHING"),
    "only white space": (Speech(" \n "), "MODEL_ANSWERED_NOTHING"),
    "only reasoning": (Speech("", reasoning="upstream-words"), "MODEL_ONLY_REASONED"),
    "a refusal": (Speech("", refusal="upstream-words"), "MODEL_REFUSED"),
    "an end that never comes": (Events(CHUNK), "MODEL_STREAM_CUT"),
}


PLENTY_LEFT = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-reset-requests": "6m0s",
    "x-ratelimit-limit-tokens": "160000",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "1h2m0s",
}
"""As a hosted endpoint sends them with every answer, whatever it is."""


@pytest.fixture(scope="module")
def shared_server(shared_upstream: UpstreamThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with starting(tmp_path_factory.mktemp("faults")) as start:
        yield impatient(start, shared_upstream.endpoint)


def impatient(start: Start, endpoint: str) -> Server:
    """A server with a model that is given little time, which soon notices that nobody is there."""
    settings = council(endpoint, limits={"heartbeat": "100ms", "abandon_grace": "100ms"})
    short = {"connect": "5s", "first_token": "200ms", "idle": "200ms", "total": "10s"}
    settings["models"]["hurried"] = model(endpoint, times=short)
    settings["models"]["patient"] = model(endpoint, retry={"attempts": 1, "base": "1ms"})
    settings["agents"] |= {name: {"model": name} for name in ("hurried", "patient")}
    settings["mixtures"]["patient"] = {**settings["mixtures"]["alone"], "layers": ["patient"]}
    settings["mixtures"]["hurried"] = {**settings["mixtures"]["council"], "layers": ["one", "hurried", "three"]}
    return start(settings)


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_run_goes_on_without_an_agent_whose_endpoint_fails(
    shared_server: Server, house: UpstreamThread, fault: str
) -> None:
    script, reason = FAULTS[fault]
    mixture, agent = ("hurried", "hurried") if reason == "MODEL_TIMEOUT" else ("council", "two")
    house.script(agent, script)
    async with AsyncClient(shared_server.target, timeout=20) as client:
        stream = client.synthesize("Why?", mixture=mixture)
        events = [event async for event in stream]
    [failed] = [event.agent_failed.failure for event in events if event.HasField("agent_failed")]
    assert (failed.agent, failed.position) == (agent, 1)
    assert ErrorReason.Name(failed.reason) == f"ERROR_REASON_{reason}"
    layer = stream.closed_layers[0]
    assert ([one.agent for one in layer.proposals], list(layer.failures)) == (["one", "three"], [failed])
    answer = events[-1].run_succeeded.answer
    assert (answer.text, answer.degraded) == ("the answer", True)
    declined = DEGRADATION_REASON_AGENT_REFUSED if reason == "MODEL_REFUSED" else DEGRADATION_REASON_AGENT_FAILED
    assert [(one.reason, one.agent) for one in answer.degradations] == [(declined, agent)]
    [asked] = house.upstream.calls_of("editor")
    assert "upstream-words" not in str(asked.body)
    assert "upstream-words" not in "".join(map(str, events))


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_the_reset_of_a_limit_that_is_not_used_up_holds_no_retry_back(
    shared_server: Server, house: UpstreamThread, code: int
) -> None:
    house.script("patient", Status(code, PLENTY_LEFT), Speech("at the second try"))
    async with AsyncClient(shared_server.target, timeout=20) as client:
        response = await client.query("Why?", mixture="patient")
    assert [proposal.text for proposal in response.layers[0].proposals] == ["at the second try"]
    assert len(house.upstream.calls_of("patient")) == 2


async def test_each_agents_cause_is_in_the_error_when_all_have_failed(
    shared_server: Server, house: UpstreamThread
) -> None:
    house.script("one", Status(401))
    house.script("two", Raw(HUGE))
    house.script("three", Status(503))
    async with AsyncClient(shared_server.target, timeout=20) as client:
        with pytest.raises(NoProposals) as asked:
            await client.query("Why?", mixture="council")
        with pytest.raises(NoProposals) as heard:
            await client.synthesize("Why?", mixture="council").answer()
    for error in (asked.value, heard.value):
        assert [type(cause) for cause in error.causes] == [
            ModelCredentialsRefused,
            ModelProtocolBroken,
            ModelUnavailable,
        ]
        assert [cause.metadata["agent"] for cause in error.causes] == ["one", "two", "three"]
    assert house.upstream.calls_of("editor") == []


async def test_who_asks_again_in_vain_is_told_that_only_the_operator_can_mend_it(
    shared_server: Server, house: UpstreamThread
) -> None:
    house.script("one", Status(401))
    house.script("two", Status(404))
    house.script("three", Status(400, error_code="no_such_thing"))
    async with AsyncClient(shared_server.target, timeout=20) as client:
        with pytest.raises(ModelsUnusable) as asked:
            await client.query("Why?", mixture="council")
        with pytest.raises(ModelsUnusable) as heard:
            await client.synthesize("Why?", mixture="council").answer()
    for error in (asked.value, heard.value):
        assert error.code is grpc.StatusCode.FAILED_PRECONDITION
        assert [type(cause) for cause in error.causes] == [ModelCredentialsRefused, ModelUnknown, ModelRejectedRequest]


async def test_a_key_that_is_refused_is_told_to_the_operator_of_a_run_that_met_its_quorum(
    start: Start, house: UpstreamThread
) -> None:
    settings = council(house.endpoint)
    settings["mixtures"]["council"]["rules"] = {"quorum": 2}
    server = start(settings)
    house.script("two", Status(401, error_code="invalid_api_key", message="the key of WORDS"))
    async with AsyncClient(server.target, timeout=20) as client:
        for _ in range(3):
            assert (await client.query("WORDS?", mixture="council")).answer.text == "the answer"
    assert server.stop() == 0
    [line] = [line for line in server.log() if line["event"] == "upstream.refused"]
    assert (line["level"], line["model"], line["reason"]) == ("warning", "two", "MODEL_CREDENTIALS_REFUSED")
    assert (line["status"], line["code"]) == ("401", "invalid_api_key")
    assert not any("WORDS" in line for line in server.lines)


async def test_models_of_today_answer_through_the_whole_house_and_it_is_told_what_they_were_not_sent(
    start: Start, house: UpstreamThread
) -> None:
    settings = council(house.endpoint)
    for name in ("one", "editor"):
        settings["agents"][name]["sampling"] = {"temperature": 0.3}
    server = start(settings)
    house.script("one", Picky(["temperature"]))
    house.script("editor", Picky(["temperature"], Speech("the answer"), by_message))
    async with AsyncClient(server.target, timeout=20) as client:
        for attempts in (2, 1):
            response = await client.query("Why?", mixture="council")
            told = [(one.reason, one.agent, one.detail) for one in response.answer.degradations]
            assert told == [
                (
                    DEGRADATION_REASON_PARAMETER_DROPPED,
                    name,
                    f"temperature was not sent to {name}, which does not take it",
                )
                for name in ("one", "editor")
            ]
            [one] = [proposal for proposal in response.layers[0].proposals if proposal.agent == "one"]
            kinds = [AttemptKind.Name(attempt.kind) for attempt in one.attempts]
            assert kinds == ["ATTEMPT_KIND_FIRST", "ATTEMPT_KIND_ADJUSTED"][:attempts]
            codes = [attempt.upstream_code for attempt in one.attempts]
            assert codes == ["unsupported_parameter", ""][2 - attempts :]


async def test_the_answering_agent_failing_at_once_gives_the_best_proposal_and_says_so(
    shared_server: Server, house: UpstreamThread
) -> None:
    house.script("editor", Status(500))
    async with AsyncClient(shared_server.target, timeout=20) as client:
        answer = (await client.query("Why?", mixture="council")).answer
    assert (answer.text, answer.degraded) == ("a proposal", True)


async def test_what_was_said_of_an_answer_that_breaks_off_is_kept_in_the_error(
    shared_server: Server, house: UpstreamThread
) -> None:
    house.script("editor", Cut(Speech("half of it is said"), after=3, by="close"))
    async with AsyncClient(shared_server.target, timeout=20) as client:
        with pytest.raises(AnswerFailed) as failed:
            await client.synthesize("Why?", mixture="council").answer()
    assert failed.value.partial_text == "half of it "
    assert [cause.reason for cause in failed.value.causes] == ["MODEL_STREAM_CUT"]


async def test_callers_hear_that_a_run_is_alive_while_no_model_speaks(
    shared_server: Server, house: UpstreamThread
) -> None:
    gate = Gate()
    house.script("one", held("at last", gate))
    async with grpc.aio.insecure_channel(shared_server.target) as channel:
        stub: Any = MoaServiceStub(channel)
        request = requests.synthesize("Why?", {"mixture": "alone"})
        messages = aiter(stub.Synthesize(request, timeout=20))
        first = await anext(messages)
        assert (len(first.events), first.heartbeat_period.ToMilliseconds()) == (0, 100)
        beats = 0
        async for message in messages:
            assert message.run_id == first.run_id
            beats += not message.events
            if beats == 3 and not message.events:
                gate.open()
    assert beats >= 3
    assert message.events[-1].run_succeeded.answer.text == "the answer"


async def test_a_run_that_nobody_watches_any_more_is_cancelled_and_its_models_left(
    shared_server: Server, house: UpstreamThread
) -> None:
    house.script("*", held("never heard", Gate(), after=1))
    async with AsyncClient(shared_server.target, timeout=20) as client:
        async with client.synthesize("Why?", mixture="alone") as events:
            await anext(events)
            run_id = events.run_id
            await asyncio.to_thread(house.wait_for, lambda: house.upstream.open_calls)
        await asyncio.to_thread(house.wait_for, lambda: house.upstream.calls[0].aborted)
        with pytest.raises(RunCancelled) as cancelled:
            await client.watch(run_id).answer()
    assert cancelled.value.metadata["by"] == "abandoned"
