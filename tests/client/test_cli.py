"""The command, in pipes and on a terminal."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

import moa
from moa.cli.lines import layer_line
from moa.testing import FakeMoa
from moa.v1.error_pb2 import ERROR_REASON_MODEL_TIMEOUT
from moa.v1.event_pb2 import (
    AgentFailed,
    AgentStarted,
    AnswerDelta,
    AnswerRestarted,
    LayerStarted,
    ProposalDelta,
    ProposalReceived,
    RunStarted,
    RunSucceeded,
)
from moa.v1.moa_service_pb2 import SynthesizeRequest
from moa.v1.plan_pb2 import Mixture, Plan, PlannedAgent, PlannedLayer
from moa.v1.run_pb2 import AgentFailure, Answer, Proposal, Usage
from tests.client.either import sent
from tests.client.terminal import command, environment, run, started, terminal, token_file

PANEL = PlannedLayer(agents=[PlannedAgent(name=name, model="small") for name in ("fast", "wide", "odd")])


def test_the_answer_is_on_standard_output_and_the_layers_are_on_standard_error(fake: FakeMoa) -> None:
    fake.answers("forty-two", proposals={"fast": "a", "wide": "b"})
    done = run("ask", "What is it?", "--mixture", "council", "--target", fake.target)
    assert (done.returncode, done.stdout) == (0, "forty-two\n")
    lines = done.stderr.splitlines()
    assert lines[1] == "layer 0: fast, wide"
    assert "  wide done in 2.0 s, 10 tokens" in lines
    assert lines[-1].startswith("answered by editor · 3 calls")
    assert sent(fake, SynthesizeRequest).query.mixture == "council"


def test_json_is_one_object_for_every_event(fake: FakeMoa) -> None:
    fake.answers("forty-two", proposals={"fast": "a"})
    done = run("ask", "hi", "--json", "--target", fake.target)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert {message["run_id"] for message in messages} == {"run-1"}
    events = [event for message in messages for event in message["events"]]
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["run_succeeded"]["answer"]["text"] == "forty-two"
    assert (done.returncode, done.stderr) == (0, "")


def test_without_layers_only_the_answer_is_left(fake: FakeMoa) -> None:
    fake.answers("forty-two", proposals={"fast": "a"})
    done = run("ask", "hi", "--no-layers", "--target", fake.target)
    assert (done.stdout, done.stderr) == ("forty-two\n", "")


def test_the_question_can_come_from_standard_input_and_the_target_from_the_environment(fake: FakeMoa) -> None:
    done = run("ask", "-", question="Wäs? \xff".encode("latin-1"), MOA_TARGET=fake.target)
    assert done.returncode == 0
    assert sent(fake, SynthesizeRequest).query.messages[0].parts[0].text == "W\ufffds? \ufffd"


def test_control_characters_of_models_are_shown_and_not_obeyed(fake: FakeMoa) -> None:
    fake.answers("a\x1b]0;owned\x07b\rc\x9b31m\u202ed\ne\tf", proposals={"f\x1b[2Jst": "a"})
    done = run("ask", "hi", "--target", fake.target)
    assert done.stdout == "a\\x1b]0;owned\\x07b\\rc\\x9b31m\\u202ed\ne\tf\n"
    assert "\x1b" not in done.stderr
    assert "f\\x1b[2Jst" in done.stderr


def test_a_failed_run_is_one_line_and_exit_code_one(fake: FakeMoa) -> None:
    fake.fails(moa.NoProposals("no agent of layer 0 answered"))
    done = run("ask", "hi", "--target", fake.target, "--no-layers")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "moa: no agent of layer 0 answered\n")


def test_a_wrong_request_is_exit_code_two(fake: FakeMoa) -> None:
    violation = moa.Violation("query.messages", "is\nempty")
    status = moa.Status(moa.InvalidRequest.usual_code, "INVALID_REQUEST", violations=(violation,))
    fake.refuses(moa.InvalidRequest("bad request", status))
    done = run("ask", "", "--target", fake.target)
    assert (done.returncode, done.stderr) == (2, "moa: bad request; query.messages: is empty\n")


@pytest.mark.parametrize("args", [[], ["ask"], ["ask", "hi", "--timeout", "-1"], ["ask", "hi", "--timeout", "soon"]])
def test_a_wrong_command_line_is_exit_code_two(args: list[str]) -> None:
    assert run(*args).returncode == 2


def test_nobody_listening_is_exit_code_three(unused_tcp_port: int) -> None:
    done = run("ask", "hi", "--target", f"127.0.0.1:{unused_tcp_port}")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("moa: ")


def test_a_missing_token_file_is_named(fake: FakeMoa, tmp_path: Path) -> None:
    done = run("mixtures", "--token-file", str(tmp_path / "none"), "--target", fake.target)
    assert done.returncode == 2
    assert done.stderr.startswith(f"moa: {tmp_path}/none: ")


def test_token_travels(fake: FakeMoa, tmp_path: Path) -> None:
    run("mixtures", "--token-file", str(token_file(tmp_path)), "--target", fake.target)
    assert fake.calls[0].metadata["authorization"] == "Bearer secret"


def test_the_other_commands(fake: FakeMoa) -> None:
    fake.mixtures.append(Mixture(name="council", description="three and an editor", layers=[PANEL], is_default=True))
    fake.plan.CopyFrom(Plan(mixture="council", strategy="aggregate", layers=[PANEL]))
    fake.answers("forty-two", proposals={"fast": "the first"})
    at = ("--target", fake.target)
    run("ask", "hi", *at)
    assert "council (default): three and an editor\n" in run("mixtures", *at).stdout
    assert "layer 0: fast, wide, odd\n" in run("explain", "hi", *at).stdout
    assert "fast (fake-model):\nthe first\n" in run("layer", "run-1", "0", *at).stdout
    assert run("watch", "run-1", "--no-layers", *at).stdout == "forty-two\n"
    assert run("cancel", "run-1", *at).stdout == "run run-1 succeeded\n"
    for args in (["mixtures"], ["explain", "hi"], ["layer", "run-1", "0"], ["cancel", "run-1"]):
        assert json.loads(run(*args, "--json", *at).stdout)
    assert run("layer", "run-1", "9", *at).returncode == 2


def test_a_reader_that_goes_away_is_no_traceback(fake: FakeMoa) -> None:
    fake.plays([RunStarted(), *[AnswerDelta(text="x" * 5000) for _ in range(100)]])
    reading, writing = os.pipe()
    with started("ask", "hi", "--target", fake.target, stdout=writing, stderr=subprocess.PIPE) as child:
        os.close(writing)
        assert os.read(reading, 1) == b"x"
        os.close(reading)
        error = child.communicate(timeout=20)[1].decode()
    assert child.returncode == 141
    assert "Traceback" not in error
    assert "Error" not in error
    assert fake.wait_left()


def test_a_reader_of_both_streams_that_goes_away_is_no_traceback(fake: FakeMoa) -> None:
    fake.plays([RunStarted(), *[LayerStarted(layer=PANEL) for _ in range(20_000)]])
    line = " ".join(["{", *command("ask", "hi", "--target", fake.target), "2>&1;", "echo $? >&3;", "} | head -c 1"])
    done = subprocess.run(
        ["/bin/bash", "-c", f"{{ {line}; }} 3>&1"], capture_output=True, env=environment(), check=False
    )
    assert done.stdout.split() == [b"r", b"141"] or done.stdout == b"r141\n"
    assert done.stderr == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_closed_standard_streams_are_no_traceback(fake: FakeMoa, closed: str) -> None:
    line = " ".join([*command("ask", "-" if closed == "<&-" else "hi", "--target", fake.target), closed])
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, env=environment(), check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stdout + done.stderr


def panel(fake: FakeMoa) -> None:
    fake.plays([RunStarted(plan=Plan(mixture="council", layers=[PANEL])), LayerStarted(layer=PANEL)])


def goes_on_to_the_answer(fake: FakeMoa) -> None:
    failure = AgentFailure(agent="odd", position=2, model="small", reason=ERROR_REASON_MODEL_TIMEOUT)
    last = PlannedLayer(index=1, answers=True, agents=[PlannedAgent(name="editor", model="large")])
    fake.goes_on(
        AgentFailed(failure=failure),
        ProposalReceived(proposal=Proposal(agent="wide", position=1, text="b", usage=Usage(output_tokens=1234))),
        LayerStarted(layer=last),
        AgentStarted(layer=1, agent="editor", model="large"),
        AnswerDelta(text="forty-\x1b[31m"),
    )


def test_a_terminal_shows_each_agent_live_then_the_answer(fake: FakeMoa) -> None:
    panel(fake)
    with terminal("ask", "hi", "--target", fake.target) as shown:
        shown.read_until(lambda text: text.count("waiting") >= 3)
        fake.goes_on(
            *(AgentStarted(agent=name, position=place, model="small") for place, name in enumerate(("fast", "wide")))
        )
        fake.goes_on(ProposalDelta(agent="wide", position=1, text="x" * 400))
        shown.read_until(lambda text: "▸ wide" in text and "~100 tokens" in text)
        goes_on_to_the_answer(fake)
        told = shown.read_until(lambda text: "forty-" in text)
        assert "✗ odd" in told
        assert "MODEL_TIMEOUT" in told
        assert "1,234 tokens" in told
        fake.goes_on(AnswerDelta(text="two"), RunSucceeded(answer=Answer(text="forty-two", agent="editor")))
        assert shown.finish() == 0
        assert "forty-\\x1b[31mtwo\r\nanswered by editor" in shown.text


def test_a_restarted_answer_is_said_so(fake: FakeMoa) -> None:
    fake.plays(
        [
            RunStarted(),
            AnswerDelta(text="fort"),
            AnswerRestarted(),
            AnswerDelta(text="42"),
            RunSucceeded(answer=Answer()),
        ]
    )
    with terminal("ask", "hi", "--target", fake.target) as shown:
        assert shown.finish() == 0
        assert "fort\r\nthe answer begins again\r\n42\r\n" in shown.text


@pytest.mark.parametrize("columns", [0, 1, 7, 5000])
def test_absurd_widths_do_no_harm(fake: FakeMoa, columns: int) -> None:
    fake.answers("forty-two", proposals={"fast": "a", "a-name-that-is-rather-long-" * 9: "b"})
    with terminal("ask", "hi", "--target", fake.target, columns=columns) as shown:
        assert shown.finish() == 0
        assert "forty-two" in shown.text
        assert "Traceback" not in shown.text


def test_a_terminal_of_another_alphabet_does_no_harm(fake: FakeMoa) -> None:
    fake.answers("fünf·", proposals={"fast": "a"})
    with terminal("ask", "hi", "--target", fake.target, PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0") as shown:
        assert shown.finish() == 0
        assert "f?nf?" in shown.text


async def test_interrupting_cancels_the_run(fake: FakeMoa) -> None:
    panel(fake)
    with terminal("ask", "hi", "--target", fake.target) as shown:
        await asyncio.to_thread(shown.read_until, lambda text: "waiting" in text)
        shown.interrupt()
        assert await asyncio.to_thread(shown.finish) == 130
        assert shown.text.endswith("moa: cancelled\r\n")
        assert fake.calls[-1].method == "CancelRun"


async def test_interrupting_a_detached_run_lets_it_go_on(fake: FakeMoa) -> None:
    panel(fake)
    with terminal("ask", "hi", "--detach", "--target", fake.target) as shown:
        await asyncio.to_thread(shown.read_until, lambda text: "waiting" in text)
        shown.interrupt()
        assert await asyncio.to_thread(shown.finish) == 130
        assert "moa watch run-1" in shown.text
        assert [call.method for call in fake.calls] == ["Synthesize"]
        assert sent(fake, SynthesizeRequest).detached


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        (PlannedLayer(agents=PANEL.agents, most=3), "layer 0: fast, wide, odd"),
        (
            PlannedLayer(agents=PANEL.agents, most=1, answers=True),
            "layer 0: fast, wide, odd, at most 1 of them writes the answer",
        ),
        (
            PlannedLayer(agents=PANEL.agents, most=3, folds=True),
            "layer 0: fast, wide, odd if references are too long",
        ),
        (PANEL, "layer 0: fast, wide, odd"),
    ],
)
def test_a_planned_layer_tells_who_may_speak_and_when(layer: PlannedLayer, line: str) -> None:
    assert layer_line(layer) == line
