"""The state of a run's agents follows from its events."""

import pytest

from moa.cli.lines import one_line, safe
from moa.cli.progress import RunProgress, State
from moa.testing import Fact, answered, failed, numbered
from moa.v1.deliberation_pb2 import Voice
from moa.v1.error_pb2 import ERROR_REASON_MODEL_TIMEOUT
from moa.v1.event_pb2 import (
    AgentFailed,
    AgentStarted,
    AnswerDelta,
    AnswerRestarted,
    Event,
    LayerClosed,
    LayerStarted,
    ProposalDelta,
    ProposalReceived,
    RunAdopted,
)
from moa.v1.plan_pb2 import PlannedAgent, PlannedLayer
from moa.v1.run_pb2 import AgentFailure, AgentSummary, LayerSummary, Proposal, RunFailure, Usage

PANEL = PlannedLayer(agents=[PlannedAgent(name=name) for name in ("fast", "wide")])


def fed(*facts: Fact) -> RunProgress:
    progress = RunProgress()
    for event in numbered(facts):
        progress.feed(event, event.event_time.seconds + 100.0)
    return progress


def states(progress: RunProgress) -> list[str]:
    return [agent.state.value for layer in progress.layers.values() for agent in layer.agents.values()]


def test_agents_wait_speak_and_are_done_or_failed() -> None:
    started = [AgentStarted(agent="fast"), AgentStarted(agent="wide", position=1)]
    spoken = ProposalDelta(agent="fast", text="hello")
    lost = AgentFailed(failure=AgentFailure(agent="wide", position=1, reason=ERROR_REASON_MODEL_TIMEOUT))
    done = ProposalReceived(proposal=Proposal(agent="fast", usage=Usage(output_tokens=7)))
    facts: list[Fact] = [LayerStarted(layer=PANEL), *started, spoken, lost, done]
    steps = [states(fed(*facts[:count])) for count in range(1, len(facts) + 1)]
    assert steps[0] == ["waiting", "waiting"]
    assert steps[3:] == [["speaking", "waiting"], ["speaking", "failed"], ["done", "failed"]]
    progress = fed(*facts)
    fast, wide = progress.layers[0].agents.values()
    assert (fast.tokens, fast.written, wide.reason) == (7, 5, "MODEL_TIMEOUT")


def test_time_is_the_servers_whatever_our_clock_says() -> None:
    progress = fed(LayerStarted(layer=PANEL), AgentStarted(agent="fast"))
    fast = progress.layers[0].agents[0]
    arrived = (fast.started or 0.0) + 100.0
    assert fast.seconds(progress.server_time(arrived + 2.5)) == pytest.approx(2.5)
    assert progress.layers[0].agents[1].seconds(0.0) is None


def test_a_whole_run_ends_with_everyone_done() -> None:
    progress = fed(*answered("forty-two", proposals={"fast": "a", "wide": "b"}))
    assert states(progress) == ["done"] * 3
    assert progress.answer == "forty-two"
    assert progress.usage.calls == 3
    assert progress.layers[0].closed


def test_a_layer_seen_only_at_its_close_is_complete() -> None:
    fast = AgentSummary(voice=Voice(agent="fast"), usage=Usage(output_tokens=7))
    wide = AgentSummary(voice=Voice(agent="wide", position=1), failure=ERROR_REASON_MODEL_TIMEOUT)
    progress = fed(LayerClosed(layer=LayerSummary(index=2, agents=[fast, wide])))
    assert states(progress) == ["done", "failed"]


def test_a_restarted_answer_drops_what_was_said() -> None:
    progress = fed(*answered("forty-two")[:-1], AnswerRestarted(), AnswerDelta(text="new"))
    assert progress.answer == "new"


def test_an_adopted_run_keeps_what_is_done_and_drops_the_rest() -> None:
    given = ProposalReceived(proposal=Proposal(agent="fast"))
    talk = ProposalDelta(agent="wide", position=1, text="hm")
    progress = fed(LayerStarted(layer=PANEL), given, talk, AnswerDelta(text="half"), RunAdopted())
    assert states(progress) == ["done", "waiting"]
    assert progress.answer == ""


def test_a_failed_run_keeps_its_end() -> None:
    progress = fed(failed(RunFailure(detail="gone")))
    assert progress.end is not None
    assert progress.end.run_failed.failure.detail == "gone"


def test_a_fact_of_a_newer_server_changes_nothing() -> None:
    progress = RunProgress()
    progress.feed(Event(epoch=1, sequence=1), 0.0)
    assert progress.layers == {}


def test_states_are_the_four_words() -> None:
    assert [state.value for state in State] == ["waiting", "speaking", "done", "failed"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x00\x07\r\x7f", "\\x00\\x07\\r\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("fünf 五 👩\u200d🚀", "fünf 五 👩\u200d🚀"),
    ],
)
def test_text_is_shown_and_never_obeyed(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_one_line_is_one_line() -> None:
    assert one_line("a\n\n b\tc\n") == "a b c"
