"""A process that holds the SQLite file's lock and is frozen: the others say so soon, and go on once it has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from moa import JournalUnavailable
from tests.house.health import health_of, until
from tests.house.surviving.fleet import Fleet, freeze_in_a_write
from tests.house.surviving.watcher import Watcher, check_whole, kept, kind
from tests.journal.holder import Holder
from tests.upstream import Cut, Speech

pytestmark = pytest.mark.timeout(180)

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
CALLERS, READINESS = "moa.v1.MoaService", "moa.readiness"
END = pytest.mark.parametrize("end", [Holder.go_on, Holder.die])
SOON_S = 20.0
"""Less than a caller waits whose every attempt is told so only after five seconds, with room for a busy machine."""


@asynccontextmanager
async def frozen_holder(fleet: Fleet) -> AsyncIterator[Holder]:
    holder = await asyncio.to_thread(Holder, fleet.folder / "runs.db")
    with holder:
        yield holder.freeze()


@END
async def test_a_call_while_the_file_is_held_is_told_so_soon_and_the_next_one_served(
    sqlite_fleet: Fleet, end: Callable[[Holder], None]
) -> None:
    fleet = sqlite_fleet
    fleet.upstream.script("boss", Speech("the answer"))
    await fleet.start()
    client = await fleet.client()
    async with frozen_holder(fleet) as holder:
        for _ in range(2):
            with pytest.raises(JournalUnavailable):
                await client.query("hello", mixture="alone", request_id="again", timeout=SOON_S)
        await asyncio.to_thread(end, holder)
    assert (await client.query("hello", mixture="alone", request_id="again")).answer.text == "the answer"
    assert len(fleet.upstream.calls) == 1


@END
async def test_a_server_is_not_ready_while_the_file_is_held_and_serves_what_can_be_read(
    sqlite_fleet: Fleet, end: Callable[[Holder], None]
) -> None:
    fleet = sqlite_fleet
    fleet.upstream.script("boss", Speech("the answer"))
    (server,) = await fleet.start(1)
    client = await fleet.client()
    run_id = (await client.query("hello", mixture="alone")).run.run_id
    async with frozen_holder(fleet) as holder:
        await until(server.target, NOT_SERVING, READINESS)
        assert await health_of(server.target, "") == NOT_SERVING
        assert await health_of(server.target, CALLERS) == SERVING, "callers may stay"
        assert kind((await kept(client, run_id))[-1]) == "run_succeeded"
        await asyncio.to_thread(end, holder)
        await until(server.target, SERVING, READINESS)
    assert await health_of(server.target, "") == SERVING
    assert (await client.query("hello", mixture="alone")).answer.text == "the answer"


async def test_a_server_started_while_the_file_is_held_waits_for_it(sqlite_fleet: Fleet) -> None:
    fleet = sqlite_fleet
    fleet.upstream.script("boss", Speech("the answer"))
    (first,) = await fleet.start(1)
    await asyncio.to_thread(first.kill)
    async with frozen_holder(fleet) as holder:
        (server,) = await fleet.start(1)
        assert await health_of(server.target, CALLERS) == NOT_SERVING
        await asyncio.to_thread(holder.die)
        await until(server.target, SERVING, CALLERS)
    assert (await (await fleet.client()).query("hello", mixture="alone")).answer.text == "the answer"


async def test_tokens_flow_while_the_file_is_held_and_the_run_ends_when_it_is_free(sqlite_fleet: Fleet) -> None:
    """Longer than an ownership lasts, so that afterwards every owner looks silent."""
    fleet = sqlite_fleet
    fleet.upstream.script("boss", Speech(tokens=80, token_s=0.05))
    await fleet.start()
    client = await fleet.client(fleet.servers[0])
    async with Watcher(client.synthesize("hello", mixture="alone")) as caller:
        await caller.seen("answer_delta", 3)
        async with frozen_holder(fleet) as holder:
            await caller.seen(lambda event: event.answer_delta.text.endswith("word79 "))
            await asyncio.to_thread(holder.go_on)
        end = await caller.end()
        assert (kind(end), end.epoch) == ("run_succeeded", 1)
        assert len(fleet.upstream.calls) == 1
        check_whole(caller.events, await kept(client, caller.run_id))


async def test_a_server_that_is_frozen_in_a_write_is_followed_once_it_is_dead(sqlite_fleet: Fleet) -> None:
    fleet = sqlite_fleet
    fleet.upstream.script("boss", Cut(Speech(tokens=600, token_s=0.02), 500, by="silence"), Speech("the answer"))
    zombie, other = await fleet.start()
    here, there = await fleet.client(zombie), await fleet.client(other)
    async with Watcher(here.synthesize("hello", mixture="alone", detached=True)) as caller:
        await caller.seen("answer_delta")
        async with Watcher(there.watch(caller.run_id)) as watching:
            await watching.seen("answer_delta")
            await freeze_in_a_write(zombie, fleet.folder / "runs.db")
            await until(other.target, NOT_SERVING, READINESS)
            with pytest.raises(JournalUnavailable):
                await there.query("hello", mixture="alone", timeout=SOON_S)
            await asyncio.to_thread(zombie.kill)
            await until(other.target, SERVING, READINESS)
            end = await watching.end()
            assert (end.epoch, end.run_succeeded.answer.text) == (2, "the answer")
            check_whole(watching.events, await kept(there, watching.run_id))
    assert len(fleet.upstream.calls) == 2
