"""The server as a process: how it starts, how it stops, and what it refuses to start on."""

import asyncio
import json
import signal
from pathlib import Path

import grpc
import pytest

from moa import AsyncClient
from moa.v1 import moa_service_pb2 as pb
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from tests.house.configurations import council
from tests.house.gates import Gate, held
from tests.house.servers import Start, carried_out, refused, write
from tests.service.refusals import refusal
from tests.upstream import UpstreamThread

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_is_told_to_stop_lets_its_runs_end(
    start: Start, upstream: UpstreamThread, asked: signal.Signals
) -> None:
    gate = Gate()
    upstream.script("editor", held("said to the end", gate, after=1))
    server = start(council(upstream.endpoint))
    raw = grpc.aio.insecure_channel(server.target)
    async with AsyncClient(server.target, timeout=20) as client, raw:
        await client.mixtures()
        await raw.channel_ready()
        async with client.synthesize("Why?", mixture="alone") as events:
            async for event in events:
                if event.HasField("answer_delta"):
                    break
            server.process.send_signal(asked)
            await asyncio.to_thread(server.wait_for_log, "server.stopping")
            late = await refusal(MoaServiceStub(raw).ListMixtures(pb.ListMixturesRequest()))
            gate.open()
            assert (await events.answer()).text == "said to the end"
    assert (late.code, late.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert await asyncio.to_thread(server.ended) == 0
    assert [line["event"] for line in server.log()][-1] == "server.stopped"


async def test_runs_that_outlast_the_drain_grace_are_cut_and_their_models_left(
    start: Start, upstream: UpstreamThread
) -> None:
    upstream.script("one", held("never", Gate()))
    settings = council(upstream.endpoint)
    settings["server"]["drain_grace"] = "0s"
    server = start(settings)
    async with AsyncClient(server.target, timeout=20) as client, client.synthesize("Why?", mixture="alone") as events:
        await anext(events)
        await asyncio.to_thread(upstream.wait_for, lambda: upstream.upstream.open_calls)
        assert await asyncio.to_thread(server.stop) == 0
        await asyncio.to_thread(upstream.wait_for, lambda: not upstream.upstream.open_connections)


def test_the_ready_line_alone_stands_on_standard_output_and_the_log_is_json(
    start: Start, upstream: UpstreamThread
) -> None:
    server = start(council(upstream.endpoint))
    assert server.target == f"127.0.0.1:{server.port}"
    assert server.stop() == 0
    assert server.process.stdout is not None
    assert server.process.stdout.read() == ""
    [started] = [line for line in server.log() if line["event"] == "server.started"]
    assert (started["port"], started["level"]) == (server.port, "info")


def test_a_second_server_on_the_same_port_says_so_and_ends(
    start: Start, upstream: UpstreamThread, tmp_path: Path
) -> None:
    server = start(council(upstream.endpoint))
    settings = council(upstream.endpoint, server={"listen": server.target})
    [line] = refused(write(tmp_path, settings, "second.yaml"))
    assert line.startswith(f"cannot listen on {server.target}; ")


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_unencrypted_listening_for_other_machines_is_refused(tmp_path: Path, address: str) -> None:
    [line] = refused(write(tmp_path, council(NOWHERE, server={"listen": address})))
    assert line.startswith("server.listen: ")
    assert "insecure_anywhere" in line


def test_unencrypted_listening_is_done_where_the_operator_insists(start: Start, upstream: UpstreamThread) -> None:
    settings = council(upstream.endpoint, server={"listen": "0.0.0.0:0", "insecure_anywhere": True})
    assert start(settings).target.startswith("0.0.0.0:")


def test_everything_that_is_wrong_with_a_configuration_is_told_one_line_each(tmp_path: Path) -> None:
    settings = council(NOWHERE, servre={})
    settings["agents"]["one"]["model"] = "onne"
    settings["agents"]["two"]["sampling"] = {"temperature": 3}
    settings["models"]["three"]["widow"] = 1
    settings["mixtures"]["deep"]["aggregator"] = "nobody"
    settings["models"]["editor"]["api_key"] = {"env": "NOT_THERE_AT_ALL"}
    lines = refused(write(tmp_path, settings))
    places = {line.partition(":")[0] for line in lines}
    assert {
        "servre",
        "agents.one.model",
        "agents.two.sampling.temperature",
        "models.three.widow",
        "mixtures.deep.aggregator",
        "models.editor.api_key",
    } <= places
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize(
    "text", ["", "models: [", "- a\n- b", "\ttabs: 1", "models: &a [*a]", "{}", "\x00", "models: {one: {provider: openai}}"]
)
def test_what_is_no_configuration_is_refused_in_lines_that_say_why(tmp_path: Path, text: str) -> None:
    lines = refused(write(tmp_path, text))
    assert lines
    assert not any("Traceback" in line for line in lines)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    [line] = refused(tmp_path / "none.yaml")
    assert str(tmp_path / "none.yaml") in line


@pytest.mark.parametrize("kept", [{"env": "NOT_THERE_AT_ALL"}, {"file": "not-there-at-all"}])
def test_a_secret_that_is_missing_is_named_and_where_it_was_looked_for(tmp_path: Path, kept: dict[str, str]) -> None:
    settings = council(NOWHERE)
    settings["models"]["one"]["api_key"] = kept
    [line] = refused(write(tmp_path, settings))
    assert line.startswith("models.one.api_key: ")
    assert next(iter(kept.values())) in line


def test_a_window_that_cannot_hold_its_mixture_is_refused(tmp_path: Path) -> None:
    settings = council(NOWHERE)
    settings["models"]["editor"] |= {"window": 1200, "max_output": 1000}
    lines = refused(write(tmp_path, settings))
    assert any("editor" in line for line in lines)


def test_check_shows_what_each_mixture_comes_to(tmp_path: Path) -> None:
    done = carried_out("check", "--config", str(write(tmp_path, council(NOWHERE))))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ""


def test_schema_is_a_json_schema_of_the_configuration() -> None:
    schema = json.loads(carried_out("schema").stdout)
    assert {"models", "agents", "mixtures", "limits", "server"} <= schema["properties"].keys()
