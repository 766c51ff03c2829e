import grpc
import pytest

from moa.v1 import moa_service_pb2 as pb
from moa.v1 import run_pb2
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa_server.domain.errors import ModelTimeout, ModelUnavailable
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Rules
from tests.engine.fakes import FakeModel, failing, saying, silent, spec
from tests.service.conftest import Serve, ask, query, rest, synthesize
from tests.service.refusals import refusal, refusal_of_stream


async def test_a_query_is_answered_with_its_layers(serve: Serve) -> None:
    served = await serve()
    response = await served.stub.Query(ask(request_id="r-1"))
    assert response.answer.text == "from boss"
    assert response.answer.agent == "boss"
    assert [layer.index for layer in response.layers] == [0, 1]
    assert [proposal.text for proposal in response.layers[0].proposals] == ["from one", "from two"]
    assert response.run.state == run_pb2.RUN_STATE_SUCCEEDED
    assert response.run.request_id == "r-1"
    assert response.run.usage.calls == 3
    assert response.run.cursor.sequence > 5


async def test_a_stream_shows_every_fact_in_order_and_ends_with_the_last(serve: Serve) -> None:
    served = await serve()
    events = [response.event async for response in served.stub.Synthesize(synthesize())]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    facts = [event.WhichOneof("fact") for event in events]
    assert facts[0] == "run_started"
    assert facts[-1] == "run_succeeded"
    assert facts.count("layer_closed") == 2
    assert "".join(event.answer_delta.text for event in events) == "from boss"


async def test_the_same_request_id_finds_the_same_run_by_either_call(serve: Serve) -> None:
    served = await serve()
    first = await served.stub.Query(ask(request_id="same"))
    again = [response.event async for response in served.stub.Synthesize(synthesize(request_id="same"))]
    assert {event.run_id for event in again} == {first.run.run_id}
    assert served.models["boss"].asked[1:] == []


async def test_a_request_id_of_another_question_is_refused(serve: Serve) -> None:
    served = await serve()
    await served.stub.Query(ask(request_id="same"))
    refused = await refusal(served.stub.Query(ask("another", request_id="same")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_stream_is_resumed_after_an_event(serve: Serve) -> None:
    served = await serve()
    events = [response.event async for response in served.stub.Synthesize(synthesize())]
    third = run_pb2.Cursor(epoch=events[2].epoch, sequence=events[2].sequence)
    watched = served.stub.WatchRun(pb.WatchRunRequest(run_id=events[0].run_id, after=third))
    assert [response.event async for response in watched] == events[3:]


async def test_nothing_follows_the_end_of_a_run(serve: Serve) -> None:
    served = await serve()
    events = [response.event async for response in served.stub.Synthesize(synthesize(request_id="r"))]
    last = run_pb2.Cursor(epoch=events[-1].epoch, sequence=events[-1].sequence)
    watched = served.stub.WatchRun(pb.WatchRunRequest(request_id="r", after=last))
    assert [response async for response in watched] == []


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
    run_id = (await stream.read()).event.run_id
    refused = await refusal(served.stub.LayerResult(pb.LayerResultRequest(run_id=run_id, index=0)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LAYER_OPEN")
    stream.cancel()


async def test_a_run_is_cancelled_by_its_caller(serve: Serve) -> None:
    served = await serve({"one": FakeModel(spec("one"), silent()), "boss": FakeModel(spec("boss"))})
    stream = served.stub.Synthesize(synthesize(request_id="r"))
    await stream.read()
    cancelled = await served.stub.CancelRun(pb.CancelRunRequest(request_id="r"))
    assert cancelled.run.state == run_pb2.RUN_STATE_CANCELLED
    events = [response.event async for response in rest(stream)]
    assert events[-1].run_cancelled.by == "caller"
    refused = await refusal(served.stub.Query(ask(request_id="r")))
    assert (refused.code, refused.reason) == (grpc.StatusCode.CANCELLED, "RUN_CANCELLED")


async def test_a_plan_is_explained_and_nothing_is_called(serve: Serve) -> None:
    served = await serve()
    explained = await served.stub.ExplainPlan(pb.ExplainPlanRequest(query=query()))
    assert explained.plan.mixture == "mix"
    assert explained.plan.worst_case.calls == 3
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
    last = None
    while (event := (await stream.read()).event).WhichOneof("fact") != "heartbeat":
        last = event
    assert last is not None
    assert (event.run_id, event.epoch, event.sequence) == (last.run_id, last.epoch, last.sequence)
    stream.cancel()


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
    events = [response.event async for response in served.stub.Synthesize(synthesize())]
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
