"""The server as a process: how it starts, how it stops, and what it refuses to start on."""

import asyncio
import json
import signal
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from moa import AsyncClient
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from tests.house.configurations import council, model
from tests.house.gates import Gate, held
from tests.house.health import health
from tests.house.servers import Start, carried_out, refused, write
from tests.service.conftest import ask
from tests.service.refusals import refusal
from tests.upstream import UpstreamThread

NOWHERE = "http://127.0.0.1:9/v1"
SERVICES = ("", "moa.v1.MoaService")


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_that_is_told_to_stop_lets_its_runs_end(
    start: Start, upstream: UpstreamThread, asked: signal.Signals
) -> None:
    gate = Gate()
    upstream.script("editor", held("said to the end", gate, after=1))
    server = start(council(upstream.endpoint))
    raw = grpc.aio.insecure_channel(server.target)
    async with AsyncClient(server.target, timeout=20) as client, raw:
        assert [await health(raw, service) for service in SERVICES] == [HealthCheckResponse.SERVING] * 2
        async with client.synthesize("Why?", mixture="alone") as events:
            async for event in events:
                if event.HasField("answer_delta"):
                    break
            server.process.send_signal(asked)
            await asyncio.to_thread(server.wait_for_log, "server.stopping")
            late = await refusal(MoaServiceStub(raw).Query(ask()))
            assert [await health(raw, service) for service in SERVICES] == [HealthCheckResponse.NOT_SERVING] * 2
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
    settings = council(NOWHERE, server={"listen": server.target})
    [line] = refused(write(tmp_path, settings, "second.yaml"))
    assert line.startswith(f"cannot listen on {server.target}; ")


def test_unencrypted_listening_for_other_machines_is_refused(tmp_path: Path) -> None:
    [line] = refused(write(tmp_path, council(NOWHERE, server={"listen": "0.0.0.0:0"})))
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
    settings["models"]["editor"]["api_key"] = {"env": "NOT_THERE_AT_ALL"}
    settings["models"]["two"]["api_key"] = {"file": "not-there-at-all"}
    settings["models"]["tiny"] = model(NOWHERE, window=1000, max_output=800)
    settings["agents"]["tiny"] = {"model": "tiny"}
    settings["mixtures"]["deep"]["aggregator"] = "nobody"
    settings["mixtures"]["alone"] |= {"layers": ["tiny"], "aggregator": "tiny"}
    lines = refused(write(tmp_path, settings))
    told = dict(line.split(": ", 1) for line in lines)
    assert sorted(told) == [
        "agents.one.model",
        "agents.two.sampling.temperature",
        "mixtures.alone",
        "mixtures.deep.aggregator",
        "models.editor.api_key",
        "models.three.widow",
        "models.two.api_key",
        "servre",
    ]
    assert len(told) == len(lines)
    assert "NOT_THERE_AT_ALL" in told["models.editor.api_key"]
    assert "not-there-at-all" in told["models.two.api_key"]
    assert "one" in told["agents.one.model"]  # what was probably meant


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    [line] = refused(tmp_path / "none.yaml")
    assert str(tmp_path / "none.yaml") in line
    [line] = refused(write(tmp_path, "models: ["))
    assert "line 1" in line


def test_check_shows_what_each_mixture_comes_to(tmp_path: Path) -> None:
    done = carried_out("check", "--config", str(write(tmp_path, council(NOWHERE))))
    assert (done.returncode, done.stderr) == (0, "")
    assert "council (default): strategy aggregate\n  layer 0: one → one, two → two, three → three\n" in done.stdout
    assert "worst case: 4 calls" in done.stdout


def test_schema_is_a_json_schema_of_the_configuration() -> None:
    schema = json.loads(carried_out("schema").stdout)
    assert {"models", "agents", "mixtures", "limits", "server"} <= schema["properties"].keys()
