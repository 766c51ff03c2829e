"""Runs that hold their server's event loop: nobody else is lost, and none goes on from server to server."""

import asyncio
import time
from collections import Counter

import pytest

from moa import RunQuarantined
from tests.house.servers import Server
from tests.house.surviving import poisoned_server
from tests.house.surviving.fleet import Fleet, freeze, thaw
from tests.house.surviving.poison import HELD_EXIT, taking_poison
from tests.house.surviving.watcher import Watcher, check_whole, kept, kind
from tests.upstream import Speech

OWNERSHIP_S = 2.0
BUSY_S = 1.0
NAMES = ("a", "b", "c")


async def poisonable(fleet: Fleet, number: int, **journal: object) -> list[Server]:
    """Start servers that a run can hold."""
    taking_poison(fleet)
    mixture = {"strategy": poisoned_server.NAME, "layers": [list(NAMES)], "aggregator": "boss"}
    fleet.upstream.script("*", Speech(tokens=15, token_s=0.04))
    return await fleet.start(
        number,
        mixtures={"panel": mixture},
        journal={**fleet.journal, "ownership": 5, **journal},
    )


async def test_a_server_that_is_busy_for_longer_than_its_ownership_keeps_its_runs(fleet: Fleet) -> None:
    await poisonable(fleet, 2, ownership=OWNERSHIP_S)
    client = await fleet.client(fleet.servers[0])
    async with (
        Watcher(client.synthesize("hello", mixture="panel", detached=True)) as neighbour,
        Watcher(client.synthesize(f"hold {2 * OWNERSHIP_S} s!", mixture="panel", detached=True)) as busy,
    ):
        for watching in (busy, neighbour):
            end = await watching.end()
            assert (kind(end), end.epoch) == ("run_succeeded", 1)
            check_whole(watching.events, await kept(client, watching.run_id))
    assert len(fleet.upstream.calls) == 8
    assert [line for line in fleet.servers[1].log() if line["event"] == "run.adopted"] == []


def last_alive(fleet: Fleet) -> Server:
    """Wait until all servers but one have ended."""
    while len(fleet.alive) > 1:
        time.sleep(0.02)
    (last,) = fleet.alive
    return last


@pytest.mark.timeout(120)
async def test_a_run_that_holds_its_servers_is_quarantined_after_its_trial_and_nobody_else_is_lost(
    postgres_fleet: Fleet,
) -> None:
    fleet = postgres_fleet
    first, *others = await poisonable(fleet, 3, busy_limit=BUSY_S)
    one = await fleet.client(first)
    async with Watcher(one.synthesize("poison!", mixture="panel", detached=True)) as poison:
        await poison.seen("agent_started", 3)
        innocent = [
            await fleet.stack.enter_async_context(
                Watcher(one.synthesize(f"question {number}!", mixture="panel", detached=True))
            )
            for number in range(4)
        ]
        for watching in innocent:
            await watching.seen("run_started")
        assert await asyncio.to_thread(first.ended) == HELD_EXIT
        run_id = poison.run_id
    told = first.wait_for_log("event_loop.held")
    assert (told["blamed"], told["told_others"]) == (run_id, True)
    assert run_id in told["run_ids"]
    assert "in poisoned" in told["stack"]
    elsewhere = await fleet.client(*others)
    for watching in innocent:
        whole = await kept(elsewhere, watching.run_id)
        assert kind(whole[-1]) == "run_succeeded"
    whole = await kept(elsewhere, run_id)
    assert kind(whole[-1]) == "run_failed"
    assert whole[-1].epoch == 3
    with pytest.raises(RunQuarantined):
        await elsewhere.watch(run_id).answer()
    # The others are told before it ends: its run can be over sooner than its process.
    last = await asyncio.to_thread(last_alive, fleet)
    assert {server.ended() for server in fleet.servers if server is not last} == {HELD_EXIT}
    paid = Counter((str(call.body), call.model) for call in fleet.upstream.calls)
    assert max(paid.values()) <= 2
    assert (await (await fleet.client(last)).query("another", mixture="panel")).answer.text


async def test_a_server_on_a_journal_of_its_own_ends_too_when_it_is_held(sqlite_fleet: Fleet) -> None:
    sqlite_fleet.journal = {"memory": {}}
    (server,) = await poisonable(sqlite_fleet, 1, busy_limit=BUSY_S)
    client = await sqlite_fleet.client()
    asked = asyncio.create_task(client.query("poison!", mixture="panel", timeout=20))
    assert await asyncio.to_thread(server.ended) == HELD_EXIT
    assert not server.wait_for_log("event_loop.held")["told_others"]
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def test_a_server_that_was_frozen_for_longer_than_its_loop_may_be_held_goes_on(sqlite_fleet: Fleet) -> None:
    """The loop could not answer while nothing ran at all."""
    sqlite_fleet.journal = {"memory": {}}
    (server,) = await poisonable(sqlite_fleet, 1, busy_limit=BUSY_S)
    client = await sqlite_fleet.client()
    freeze(server)
    await asyncio.sleep(2 * BUSY_S)
    thaw(server)
    assert (await client.query("hello", mixture="panel")).answer.text
    assert server.process.poll() is None
