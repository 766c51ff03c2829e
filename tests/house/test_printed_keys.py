"""A server whose models' key is printed by a program, from its first call to its end."""

import asyncio
import stat
from contextlib import suppress
from pathlib import Path

from moa import AsyncClient, MoaError
from tests.house.configurations import Configuration, council
from tests.house.servers import Start, carried_out, write
from tests.settings.processes import gone, settled
from tests.upstream import Request, Script, Speech, Status, UpstreamThread
from tests.upstream.stage import Player


def program(folder: Path, script: str) -> str:
    """Put a program beside the configuration, and return how the configuration names it."""
    path = folder / "print-key"
    path.write_text(f"#!/bin/sh\ncd {folder}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return "./print-key"


def keyed(upstream: UpstreamThread, *command: str) -> Configuration:
    """A council all of whose models take their key from one program."""
    settings = council(upstream.endpoint)
    for model in settings["models"].values():
        model["api_key"] = {"command": list(command), "every": "30m"}
        model["retry"] = {"attempts": 1, "base": "1ms", "least_in_window": 50}
    return settings


def only_for(*keys: str) -> Script:
    def answer(request: Request) -> Player:
        given = request.headers["authorization"].removeprefix("Bearer ")
        return Speech("a proposal") if given in keys else Status(401)

    return answer


async def test_one_key_serves_all_models_and_a_refused_one_is_replaced(
    start: Start, upstream: UpstreamThread, tmp_path: Path
) -> None:
    name = program(tmp_path, "n=$(($(cat count 2>/dev/null || echo 0) + 1)); echo $n > count; echo key-$n")
    for model in ("one", "two", "three", "editor"):
        upstream.script(model, only_for("key-1"))
    server = start(keyed(upstream, name, "an argument"))
    async with AsyncClient(server.target, timeout=20) as client:
        assert (await client.query("Why?", mixture="council")).answer.text == "a proposal"
        assert (tmp_path / "count").read_text() == "1\n"
        # The endpoint wants another one before its time.
        for model in ("one", "two", "three", "editor"):
            upstream.script(model, only_for("key-2"))
        response = await client.query("And now?", mixture="council")
        assert (response.answer.text, len(response.run.degradations)) == ("a proposal", 0)
        assert (tmp_path / "count").read_text() == "2\n"
    assert "key-" not in "".join(server.lines)


async def test_a_program_that_fails_is_told_of_and_hurts_no_other_model(
    start: Start, upstream: UpstreamThread, tmp_path: Path
) -> None:
    settings = council(upstream.endpoint)
    settings["models"]["one"]["api_key"] = {"command": [program(tmp_path, "echo hush-hush; exit 1")]}
    server = start(settings)
    async with AsyncClient(server.target, timeout=20) as client:
        assert (await client.query("Why?", mixture="council")).answer.text == "the answer"
    line = server.wait_for_log("key.command_failed")
    assert (line["level"], line["program"], line["why"]) == ("warning", "print-key", "ended with status 1")
    assert "hush" not in "".join(server.lines)
    assert upstream.upstream.calls_of("one") == []


async def test_a_server_that_stops_leaves_no_program_behind(
    start: Start, upstream: UpstreamThread, tmp_path: Path
) -> None:
    name = program(tmp_path, "sleep 1000 & echo $! > child.new; mv child.new child; wait")
    settings = keyed(upstream, name)
    for model in settings["models"].values():
        model["times"]["connect"] = "20s"
    server = start({**settings, "server": {"listen": "127.0.0.1:0", "drain_grace": 0}})
    async with AsyncClient(server.target, timeout=20) as client:
        asked = asyncio.create_task(client.query("Why?", mixture="alone"))
        await settled((tmp_path / "child").exists)
        assert await asyncio.to_thread(server.stop) == 0
        with suppress(MoaError):
            await asked
    child = int((tmp_path / "child").read_text())
    await gone(child)


def test_a_program_that_is_not_there_is_refused_by_check_and_none_is_run(
    upstream: UpstreamThread, tmp_path: Path
) -> None:
    path = write(tmp_path, keyed(upstream, "gcloud-of-nowhere", "auth", "print-access-token"))
    done = carried_out("check", "--config", str(path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        "models.one.api_key: gcloud-of-nowhere is no program that can be run; "
        "install it, or write the path of one that is there"
    )
    path = write(tmp_path, keyed(upstream, program(tmp_path, "touch was-run; echo key")))
    done = carried_out("check", "--config", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "was-run").exists()
