"""The `moa` command against a real server."""

import json

import pytest

from tests.client.terminal import run, terminal
from tests.house.gates import Gate, held
from tests.house.servers import Server
from tests.upstream import Speech, Status, UpstreamThread


def test_json_is_the_whole_run_one_event_a_line(shared_server: Server, house: UpstreamThread) -> None:
    done = run("ask", "Why?", "--json", "--mixture", "council", "--target", shared_server.target)
    events = [event for line in done.stdout.splitlines() for event in json.loads(line)["events"]]
    assert (done.returncode, done.stderr) == (0, "")
    assert "run_started" in events[0]
    assert events[-1]["run_succeeded"]["answer"]["text"] == "the answer"
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert len(house.upstream.calls) == 4


def test_people_read_the_answer_on_one_stream_and_the_layers_on_the_other(
    shared_server: Server, house: UpstreamThread
) -> None:
    house.script("two", Status(500))
    done = run("ask", "Why?", "--target", shared_server.target)
    assert (done.returncode, done.stdout) == (0, "the answer\n")
    lines = done.stderr.splitlines()
    assert "layer 0: one, two, three" in lines
    assert "layer 0 closed: 2 proposals, 1 failed" in lines
    assert any(line.startswith("  two failed") and "MODEL_UNAVAILABLE" in line for line in lines)
    assert lines[-1].startswith("answered by editor · 4 calls")


def test_a_terminal_shows_the_agents_and_then_the_answer(shared_server: Server, house: UpstreamThread) -> None:
    gate = Gate()
    house.script("two", held("at last", gate, after=1))
    with terminal("ask", "Why?", "--target", shared_server.target) as shown:
        shown.read_until(lambda text: "✓ one" in text and "▸ two" in text)
        gate.open()
        assert shown.finish() == 0
        assert "the answer\r\nanswered by editor" in shown.text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ask", "Why?", "--mixture", "coucil"], 2, "coucil"),
        (["watch", "7f3"], 2, "7f3"),
        (["ask", ""], 2, "query.messages[0]"),
    ],
)
def test_what_the_server_refuses_is_one_line_and_exit_code_two(
    shared_server: Server, house: UpstreamThread, arguments: list[str], code: int, said: str
) -> None:
    done = run(*arguments, "--target", shared_server.target)
    assert (done.returncode, done.stdout) == (code, "")
    [line] = done.stderr.splitlines()
    assert said in line
    assert house.upstream.calls == []


def test_a_run_that_fails_tells_each_agents_cause_and_is_exit_code_one(
    shared_server: Server, house: UpstreamThread
) -> None:
    house.script("one", Status(401))
    house.script("two", Status(500))
    house.script("three", Speech(""))
    done = run("ask", "Why?", "--target", shared_server.target)
    assert (done.returncode, done.stdout) == (1, "")
    for cause in ("one: MODEL_CREDENTIALS_REFUSED", "two: MODEL_UNAVAILABLE", "three: MODEL_ANSWERED_NOTHING"):
        assert cause in done.stderr.splitlines()[-1]


def test_mixtures_and_plans_are_shown(shared_server: Server, house: UpstreamThread) -> None:
    assert "council (default): Three and an editor.\n" in run("mixtures", "--target", shared_server.target).stdout
    shown = run("explain", "Why?", "--mixture", "deep", "--target", shared_server.target).stdout
    assert shown.startswith("deep (aggregate): at most 4 calls")
    assert "layer 2: editor writes the answer\n" in shown
    assert house.upstream.calls == []
