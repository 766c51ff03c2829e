"""A configuration that changes under a running server."""

import asyncio
from pathlib import Path
from typing import Any

from moa import AsyncClient, Unauthenticated
from tests.house.configurations import Configuration, council, model
from tests.house.gates import Gate, held
from tests.house.servers import Server, Start, write
from tests.upstream import Speech, UpstreamThread


def with_another(settings: Configuration, endpoint: str) -> Configuration:
    settings["models"]["four"] = model(endpoint)
    settings["agents"]["four"] = {"model": "four"}
    settings["mixtures"]["another"] = {"strategy": "aggregate", "layers": ["four"], "aggregator": "editor"}
    return settings


async def names(client: AsyncClient) -> list[str]:
    return [mixture.name for mixture in await client.mixtures()]


async def test_a_changed_file_is_taken_over(start: Start, upstream: UpstreamThread) -> None:
    server = start(council(upstream.endpoint))
    async with AsyncClient(server.target, timeout=20) as client:
        assert await names(client) == ["council", "deep", "alone"]
        write(server.path.parent, with_another(council(upstream.endpoint), upstream.endpoint))
        await asyncio.to_thread(server.wait_for_log, "configuration.reloaded")
        assert await names(client) == ["council", "deep", "alone", "another"]
        assert (await client.query("Why?", mixture="another")).answer.text == "the answer"
        assert len(upstream.upstream.calls_of("four")) == 1
        server.reload(council(upstream.endpoint, limits={"open_runs": 7}))
        told = await asyncio.to_thread(server.wait_for_log, "configuration.needs_restart")
        assert told["keys"] == ["limits"]


async def test_a_bad_new_file_is_told_of_and_the_old_one_stays(start: Start, upstream: UpstreamThread) -> None:
    server = start(council(upstream.endpoint))
    async with AsyncClient(server.target, timeout=20) as client:
        wrong: list[Configuration | str] = ["models: [", "mixtures: {}\n", council(upstream.endpoint, servre={})]
        for number, configuration in enumerate(wrong, 1):
            server.reload(configuration)
            line = await asyncio.to_thread(server.wait_for_log, "configuration.refused", number)
            assert (line["level"], bool(line["problems"])) == ("error", True)
            assert await names(client) == ["council", "deep", "alone"]
        assert (await client.query("Why?", mixture="deep")).answer.text == "the answer"
        server.reload(with_another(council(upstream.endpoint), upstream.endpoint))
        await asyncio.to_thread(server.wait_for_log, "configuration.reloaded")
        assert "another" in await names(client)


async def test_a_run_under_way_keeps_its_plan(start: Start, upstream: UpstreamThread) -> None:
    """Even where the new file knows neither its mixture nor its agents and models any more."""
    gate = Gate()
    upstream.script("one", held("the old way", gate))
    upstream.script("editor", Speech("the old answer"))
    upstream.script("four", Speech("the new answer"))
    server = start(council(upstream.endpoint))
    async with AsyncClient(server.target, timeout=20) as client:
        async with client.synthesize("Why?", mixture="alone") as events:
            await anext(events)
            await asyncio.to_thread(upstream.wait_for, lambda: upstream.upstream.calls_of("one"))
            server.reload(_only_four(upstream.endpoint))
            await asyncio.to_thread(server.wait_for_log, "configuration.reloaded")
            assert await names(client) == ["new"]
            gate.open()
            answer = await events.answer()
        assert (answer.text, answer.model, answer.degraded) == ("the old answer", "editor", False)
        assert (await client.query("Why?")).answer.text == "the new answer"


def _only_four(endpoint: str) -> Configuration:
    mixture = {"strategy": "aggregate", "layers": ["four"], "aggregator": "four"}
    return {
        "models": {"four": model(endpoint)},
        "agents": {"four": {"model": "four"}},
        "mixtures": {"new": mixture},
        "server": {"listen": "127.0.0.1:0"},
    }


def _with_callers(endpoint: str, callers: dict[str, Any]) -> Configuration:
    return council(endpoint, server={"listen": "127.0.0.1:0", "callers": callers})


async def _may_call(server: Server, token: str) -> bool:
    async with AsyncClient(server.target, token=token, timeout=20) as client:
        try:
            await client.mixtures()
        except Unauthenticated:
            return False
    return True


async def test_callers_and_their_tokens_are_reloaded(start: Start, upstream: UpstreamThread, tmp_path: Path) -> None:
    (tmp_path / "search").write_text("search-1\n")
    search, batch = {"token": {"file": "search"}}, {"token": {"env": "BATCH_TOKEN"}}
    server = start(_with_callers(upstream.endpoint, {"search": search}), BATCH_TOKEN="batch-1")
    assert [await _may_call(server, token) for token in ("search-1", "batch-1", "search-2")] == [True, False, False]
    server.reload(_with_callers(upstream.endpoint, {"search": search, "batch": batch}))
    await asyncio.to_thread(server.wait_for_log, "configuration.reloaded")
    assert [await _may_call(server, token) for token in ("search-1", "batch-1")] == [True, True]
    write(tmp_path, "search-2\n", "search")
    assert [await _may_call(server, token) for token in ("search-1", "batch-1", "search-2")] == [False, True, True]
    server.reload(_with_callers(upstream.endpoint, {"batch": batch}))
    await asyncio.to_thread(server.wait_for_log, "configuration.reloaded", times=2)
    assert [await _may_call(server, token) for token in ("search-2", "batch-1")] == [False, True]
