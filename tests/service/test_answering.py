import grpc
import pytest

from moa import AsyncClient
from moa.v1 import moa_service_pb2 as pb
from moa.v1 import run_pb2
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa.v1.plan_pb2 import PREFERENCE_COST, Overrides, ReasoningEffort, Sampling
from moa_server.domain.errors import ModelStreamCut, ModelTimeout, ModelUnavailable
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Rules
from tests.engine.fakes import Asked, FakeModel, Script, failing, saying, silent, spec
from tests.service.conftest import Serve, ask, events_of, query, synthesize
from tests.service.refusals import refusal, refusal_of_stream


async def test_a_query_is_answered_with_its_layers(serve: Serve) -> None:
    served = await serve()
    response = await served.stub.Query(ask(request_id="r-1"))
    assert response.answer.text == "from boss"
    assert response.answer.agent == "boss"
    assert [layer.summary.index for layer in response.layers] == [0, 1]
    assert [proposal.text for proposal in response.layers[0].proposals] == ["from one", "from two"]
    assert response.run.state == run_pb2.RUN_STATE_SUCCEEDED
    assert response.run.request_id == "r-1"
    assert response.run.usage.calls == 3
    assert response.run.cursor.sequence > 5


async def test_a_stream_shows_every_fact_in_order_and_ends_with_the_last(serve: Serve) -> None:
    served = await serve()
    events = await events_of(served.stub.Synthesize(synthesize()))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    facts = [event.WhichOneof("fact") for event in events]
    assert facts[0] == "run_started"
    assert facts[-1] == "run_succeeded"
    assert facts.count("layer_closed") == 2
    assert "".join(event.answer_delta.text for event in events) == "from boss"


async def test_the_same_request_id_finds_the_same_run_by_either_call(serve: Serve) -> None:
    served = await serve()
    first = await served.stub.Query(ask(request_id="same"))
    again = [message async for message in served.stub.Synthesize(synthesize(request_id="same"))]
    assert {message.run_id for message in again} == {first.run.run_id}
    assert served.models["boss"].asked[1:] == []


async def test_a_request_id_of_another_question_is_refused(serve: Serve) -> None:
    served = await serve()
    await served.stub.Query(ask(request_id="same"))
    refused = await refusal(served.stub.Query(ask("another", request_id="same")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_stream_is_resumed_after_an_event(serve: Serve) -> None:
    served = await serve()
    messages = [message async for message in served.stub.Synthesize(synthesize())]
    events = [event for message in messages for event in message.events]
    third = run_pb2.Cursor(epoch=events[2].epoch, sequence=events[2].sequence)
    watched = served.stub.WatchRun(pb.WatchRunRequest(run_id=messages[0].run_id, after=third))
    assert await events_of(watched) == events[3:]


@pytest.mark.parametrize("beyond", [0, 7])
async def test_one_who_watches_from_the_end_or_beyond_it_is_told_the_end_again(serve: Serve, beyond: int) -> None:
    served = await serve()
    events = await events_of(served.stub.Synthesize(synthesize(request_id="r")))
    last = run_pb2.Cursor(epoch=events[-1].epoch + beyond, sequence=events[-1].sequence)
    watched = served.stub.WatchRun(pb.WatchRunRequest(request_id="r", after=last))
    assert await events_of(watched) == events[-1:]


async def test_a_closed_layer_is_read_by_itself(serve: Serve) -> None:
    served = await serve()
    answered = await served.stub.Query(ask())
    read = await served.stub.LayerResult(pb.LayerResultRequest(run_id=answered.run.run_id, index=0))
    assert read.layer == answered.layers[0]
    refused = await refusal(served.stub.LayerResult(pb.LayerResultRequest(run_id=answered.run.run_id, index=7)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "LAYER_NOT_FOUND")


async def test_an_open_layer_is_not_waited_for_unless_asked(serve: Serve) -> None:
    served = await serve({"one": FakeModel(spec("one"), silent()), "boss": FakeModel(spec("boss"))})
    stream = served.stub.Synthesize(synthesize())
    run_id = (await stream.read()).run_id
    refused = await refusal(served.stub.LayerResult(pb.LayerResultRequest(run_id=run_id, index=0)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAYER_OPEN")
    stream.cancel()


async def test_a_run_is_cancelled_by_its_caller(serve: Serve) -> None:
    served = await serve({"one": FakeModel(spec("one"), silent()), "boss": FakeModel(spec("boss"))})
    stream = served.stub.Synthesize(synthesize(request_id="r"))
    await stream.read()
    cancelled = await served.stub.CancelRun(pb.CancelRunRequest(request_id="r"))
    assert cancelled.run.state == run_pb2.RUN_STATE_CANCELLED
    events = await events_of(stream)
    assert events[-1].run_cancelled.by == run_pb2.CANCELLED_BY_CALLER
    refused = await refusal(served.stub.Query(ask(request_id="r")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.CANCELLED, "RUN_CANCELLED")


async def test_a_plan_is_explained_and_nothing_is_called(serve: Serve) -> None:
    served = await serve()
    explained = await served.stub.ExplainPlan(pb.ExplainPlanRequest(query=query()))
    assert explained.plan.mixture == "mix"
    assert (explained.plan.worst_case.calls, explained.plan.worst_case_with_failures.calls) == (3, 12)
    assert [agent.name for agent in explained.plan.layers[0].agents] == ["one", "two"]
    assert explained.plan.layers[1].answers
    assert all(model.asked == [] for model in served.models.values())


async def test_mixtures_are_listed_with_their_models(serve: Serve) -> None:
    served = await serve()
    listed = (await served.stub.ListMixtures(pb.ListMixturesRequest())).mixtures
    assert [(mixture.name, mixture.is_default) for mixture in listed] == [("mix", True), ("other", False)]
    assert {model.name for model in listed[0].models} == {"one", "two", "boss"}


async def test_a_silent_run_is_heard_to_be_alive(serve: Serve) -> None:
    models = {"one": FakeModel(spec("one"), silent()), "boss": FakeModel(spec("boss"))}
    served = await serve(models, limits=Limits(heartbeat_s=0.02))
    stream = served.stub.Synthesize(synthesize())
    first = await stream.read()
    assert first.heartbeat_period.ToMilliseconds() == 20
    while (await stream.read()).events:
        pass
    beat = await stream.read()
    assert (beat.run_id, list(beat.events), beat.HasField("heartbeat_period")) == (first.run_id, [], False)
    stream.cancel()


async def test_what_is_ready_goes_out_in_one_message(serve: Serve) -> None:
    served = await serve()
    run_id = (await served.stub.Query(ask())).run.run_id
    first, whole = [message async for message in served.stub.WatchRun(pb.WatchRunRequest(run_id=run_id))]
    assert (first.run_id, len(first.events)) == (run_id, 0)
    assert len(whole.events) > 5
    assert whole.events[-1].HasField("run_succeeded")


async def test_no_message_is_larger_than_every_language_takes(serve: Serve) -> None:
    text = "x" * (1024 * 1024)
    models = {name: FakeModel(spec(name), saying(text)) for name in ("one", "two")}
    served = await serve({**models, "boss": FakeModel(spec("boss"), saying("short"))}, rules=Rules(quorum=2))
    response = await served.stub.Query(ask())
    assert (response.answer.text, list(response.left_out)) == ("short", [])
    run_id = response.run.run_id
    messages = [message async for message in served.stub.WatchRun(pb.WatchRunRequest(run_id=run_id))]
    assert max(message.ByteSize() for message in messages) < 1.2 * len(text)
    events = [event for message in messages for event in message.events]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_a_layer_too_large_for_a_message_is_left_out_and_read_in_pages(serve: Serve) -> None:
    text = "x" * (1536 * 1024)
    models = {name: FakeModel(spec(name, window=10**9), saying(text)) for name in ("one", "two", "three")}
    boss = FakeModel(spec("boss", window=10**9), saying("short"))
    served = await serve({**models, "boss": boss})
    response = await served.stub.Query(ask())
    assert (response.answer.text, list(response.left_out), len(response.layers)) == ("short", ["layers"], 0)
    asked = pb.LayerResultRequest(run_id=response.run.run_id, index=0)
    first = await served.stub.LayerResult(asked)
    second = await served.stub.LayerResult(
        pb.LayerResultRequest(run_id=response.run.run_id, page_token=first.next_page_token)
    )
    pages = [[proposal.agent for proposal in page.layer.proposals] for page in (first, second)]
    assert (pages, second.next_page_token) == ([["one", "two"], ["three"]], "")
    assert first.layer.summary == second.layer.summary
    async with AsyncClient(served.target) as client:
        whole = await client.layer_result(response.run.run_id, 0)
    assert [len(proposal.text) for proposal in whole.proposals] == [len(text)] * 3


async def test_pages_are_as_large_as_is_asked_for(serve: Serve) -> None:
    served = await serve()
    run_id = (await served.stub.Query(ask())).run.run_id
    first = await served.stub.LayerResult(pb.LayerResultRequest(run_id=run_id, page_size=1))
    assert [proposal.agent for proposal in first.layer.proposals] == ["one"]
    token = first.next_page_token
    rest_of_it = await served.stub.LayerResult(pb.LayerResultRequest(run_id=run_id, page_token=token))
    assert [proposal.agent for proposal in rest_of_it.layer.proposals] == ["two"]
    mixture = await served.stub.ListMixtures(pb.ListMixturesRequest(page_size=1))
    rest_of_them = await served.stub.ListMixtures(pb.ListMixturesRequest(page_token=mixture.next_page_token))
    assert [one.name for one in (*mixture.mixtures, *rest_of_them.mixtures)] == ["mix", "other"]
    for stray in (
        pb.LayerResultRequest(run_id=run_id, index=1, page_token=token),
        pb.LayerResultRequest(run_id=run_id, page_token="nonsense"),
        pb.LayerResultRequest(run_id=run_id, page_size=-1),
    ):
        refused = await refusal(served.stub.LayerResult(stray))
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_a_layer_is_read_by_the_callers_own_id_too(serve: Serve) -> None:
    served = await serve()
    answered = await served.stub.Query(ask(request_id="mine"))
    read = await served.stub.LayerResult(pb.LayerResultRequest(request_id="mine"))
    assert read.layer == answered.layers[0]


def breaking_off_once(half: str, whole: str) -> Script:
    """Say half of an answer and break off, then all of it."""
    tries = iter((failing(ModelStreamCut("the stream was cut"), half), saying(whole)))

    async def speak(asked: Asked) -> None:
        await next(tries)(asked)

    return speak


async def test_the_clients_put_layers_together_as_the_server_has_them(serve: Serve) -> None:
    models = {
        "one": FakeModel(spec("one"), saying("I'm sorry, but I can't help with that.")),
        "two": FakeModel(spec("two"), failing(ModelTimeout("was silent"))),
        "three": FakeModel(spec("three"), saying("well")),
        "boss": FakeModel(spec("boss"), breaking_off_once("half of it", "the whole")),
    }
    served = await serve(models, rules=Rules(restart_answer=True))
    async with AsyncClient(served.target) as client:
        stream = client.synthesize("hello", mixture="mix", request_id="same")
        layers = [layer async for layer in stream.layers()]
        whole = await client.query("hello", mixture="mix", request_id="same")
        read = [await client.layer_result(stream.run_id, index) for index in range(2)]
        late = client.watch(stream.run_id, after=run_pb2.Cursor(epoch=1, sequence=12))
        assert [layer.summary.index async for layer in late.layers()] == [1], "the first was begun before"
    assert layers == list(whole.layers) == read == [*stream.closed_layers.values()]
    first, second = layers
    assert [failure.agent for failure in first.failures] == ["one", "two"]
    assert [agent.end for agent in first.summary.agents] == [
        run_pb2.ATTEMPT_END_FAILED,
        run_pb2.ATTEMPT_END_FAILED,
        run_pb2.ATTEMPT_END_ANSWERED,
    ]
    assert [(agent.voice.agent, agent.voice.position) for agent in second.summary.agents] == [("boss", 0), ("boss", 0)]
    assert (len(second.failures), second.proposals[0].text) == (1, "the whole")


@pytest.mark.parametrize("effort", [number for number in ReasoningEffort.values() if number])
async def test_how_much_is_to_be_reasoned_is_the_callers_to_say_and_shown_in_the_plan(
    serve: Serve, effort: ReasoningEffort.ValueType
) -> None:
    served = await serve()
    asked = query(overrides=Overrides(sampling=Sampling(reasoning_effort=effort, reasoning_tokens=100)))
    plan = (await served.stub.ExplainPlan(pb.ExplainPlanRequest(query=asked))).plan
    for agent in (agent for layer in plan.layers for agent in layer.agents):
        assert agent.sampling == Sampling(reasoning_effort=effort, reasoning_tokens=100)
    await served.stub.Query(pb.QueryRequest(query=asked))
    [sampling] = [asked.prompt.sampling for asked in served.models["one"].asked]
    assert f"REASONING_EFFORT_{sampling.reasoning_effort.name}" == ReasoningEffort.Name(effort)
    assert sampling.reasoning_tokens == 100


UNOFFERED = {
    "labels": pb.QueryRequest(query=query(), labels={"team": "billing"}),
    "query.overrides.prefer": pb.QueryRequest(query=query(overrides=Overrides(prefer=PREFERENCE_COST))),
    "query.overrides.deliberate": pb.QueryRequest(query=query(overrides=Overrides(deliberate=False))),
}


@pytest.mark.parametrize("what", UNOFFERED)
async def test_what_is_not_done_yet_is_refused_by_its_name_and_not_passed_over(serve: Serve, what: str) -> None:
    served = await serve()
    refused = await refusal(served.stub.Query(UNOFFERED[what]))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_OFFERED")
    assert refused.metadata == {"what": what}


@pytest.mark.parametrize("method", ["GetRun", "ListRuns", "RecordOutcome", "GetQuota", "GetServerInfo"])
async def test_a_method_that_is_not_offered_yet_says_so(serve: Serve, method: str) -> None:
    served = await serve()
    refused = await refusal(getattr(served.stub, method)(getattr(pb, f"{method}Request")()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_OFFERED")
    assert refused.metadata == {"what": method}


async def test_a_run_that_failed_names_every_agents_cause(serve: Serve) -> None:
    models = {
        "one": FakeModel(spec("one"), failing(ModelTimeout("was silent"))),
        "two": FakeModel(spec("two"), failing(ModelUnavailable("is overloaded"))),
        "boss": FakeModel(spec("boss")),
    }
    served = await serve(models)
    refused = await refusal(served.stub.Query(ask()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_PROPOSALS")
    assert refused.metadata["agent.one"] == "MODEL_TIMEOUT"
    assert refused.metadata["agent.two"] == "MODEL_UNAVAILABLE"
    assert refused.metadata["run_id"]
    assert refused.trailers["grpc-retry-pushback-ms"] == "-1"
    assert refused.failure is not None
    assert [failure.agent for failure in refused.failure.failures] == ["one", "two"]


async def test_a_stream_of_a_run_that_fails_ends_well_with_the_failure(serve: Serve) -> None:
    models = {"one": FakeModel(spec("one"), failing(ModelTimeout("was silent"))), "boss": FakeModel(spec("boss"))}
    served = await serve(models)
    events = await events_of(served.stub.Synthesize(synthesize()))
    assert events[-1].run_failed.failure.failures[0].agent == "one"


async def test_a_degraded_answer_says_so(serve: Serve) -> None:
    models = {
        "one": FakeModel(spec("one"), saying("well")),
        "boss": FakeModel(spec("boss"), failing(ModelUnavailable("is overloaded"))),
    }
    served = await serve(models, rules=Rules())
    response = await served.stub.Query(ask())
    assert response.answer.degraded
    assert response.answer.text == "well"


@pytest.mark.parametrize("call", ["LayerResult", "CancelRun"])
async def test_an_unknown_run_is_not_found(serve: Serve, call: str) -> None:
    served = await serve()
    request = pb.LayerResultRequest(run_id="nope") if call == "LayerResult" else pb.CancelRunRequest(run_id="nope")
    refused = await refusal(getattr(served.stub, call)(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_watching_an_unknown_run_is_refused(serve: Serve) -> None:
    served = await serve()
    for request in (pb.WatchRunRequest(run_id="nope"), pb.WatchRunRequest(request_id="nope")):
        refused = await refusal_of_stream(served.stub.WatchRun(request))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_an_unknown_mixture_is_refused(serve: Serve) -> None:
    served = await serve()
    refused = await refusal(served.stub.Query(pb.QueryRequest(query=query(mixture="mixx"))))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_MIXTURE")
    assert refused.metadata["mixture"] == "mixx"


async def test_two_servers_cannot_share_a_port(serve: Serve) -> None:
    from moa_server.domain.operation import Listening  # noqa: PLC0415
    from moa_server.service.server import AddressUnavailable  # noqa: PLC0415

    served = await serve()
    with pytest.raises(AddressUnavailable, match=str(served.serving.port)):
        await serve(listening=Listening(served.target, drain_grace_s=0))


async def test_a_client_on_another_channel_gets_the_same_run(serve: Serve) -> None:
    served = await serve()
    first = await served.stub.Query(ask(request_id="r"))
    async with grpc.aio.insecure_channel(served.target) as other:
        again = await MoaServiceStub(other).Query(ask(request_id="r"))
    assert again == first
