"""A run is the same on every server: asked for twice, watched, read, fetched or cancelled."""

import asyncio
from base64 import b64encode
from os import urandom

import pytest

from moa import AsyncClient, RequestIdReused, ResumePointExpired
from moa.v1.run_pb2 import Cursor
from tests.house.surviving.fleet import PATIENCE_S, Fleet
from tests.house.surviving.watcher import Watcher, check_whole, kept, kind, place
from tests.upstream import Silence, Speech


def script(fleet: Fleet) -> None:
    for name in ("a", "b", "c"):
        fleet.upstream.script(name, Speech(f"what {name} proposes"))
    fleet.upstream.script("boss", Speech("the answer of them all"))


async def test_ten_submissions_on_two_servers_at_once_are_one_run(fleet: Fleet) -> None:
    script(fleet)
    one, two = await fleet.start()
    clients = [await fleet.client(one), await fleet.client(two)]
    asked = [clients[n % 2].query("hello", mixture="panel", request_id="the one") for n in range(10)]
    answers = await asyncio.gather(*asked)
    assert len({response.run.run_id for response in answers}) == 1
    assert {response.answer.text for response in answers} == {"the answer of them all"}
    assert len(fleet.upstream.calls) == 4
    with pytest.raises(RequestIdReused):
        await clients[1].query("another question", mixture="panel", request_id="the one")


async def test_a_run_is_followed_live_from_any_server_and_when_it_is_over(fleet: Fleet) -> None:
    script(fleet)
    fleet.upstream.script("boss", Speech(tokens=20, token_s=0.03))
    one, two = await fleet.start()
    here, there = await fleet.client(one), await fleet.client(two)
    async with Watcher(here.synthesize("hello", mixture="panel", request_id="mine")) as first:
        await first.seen("answer_delta", 2)
        cut = len(first.events)
        after = Cursor(epoch=first.events[-1].epoch, sequence=first.events[-1].sequence)
        async with (
            Watcher(there.watch(first.run_id, after=after)) as rest,
            Watcher(there.synthesize("hello", mixture="panel", request_id="mine")) as again,
        ):
            for watching in (first, rest, again):
                await watching.end()
    whole = await kept(there, first.run_id)
    check_whole(first.events, whole)
    check_whole(again.events, whole)
    assert [place(event) for event in first.events[cut:]] == [place(event) for event in rest.events]
    assert await kept(here, first.run_id) == whole
    assert len(fleet.upstream.calls) == 4


async def test_a_closed_layer_is_read_on_any_server_and_an_open_one_waited_for(fleet: Fleet) -> None:
    script(fleet)
    may_speak = asyncio.Event()

    async def hesitate(stage: object) -> None:
        await may_speak.wait()
        await Speech("what c proposes").play(stage)  # type: ignore[arg-type]

    fleet.upstream.script("c", hesitate)
    one, two = await fleet.start()
    here, there = await fleet.client(one), await fleet.client(two)
    async with Watcher(here.synthesize("hello", mixture="panel")) as caller:
        await caller.seen("proposal_received", 2)
        waiting = asyncio.create_task(there.layer_result(caller.run_id, 0, wait=PATIENCE_S))
        may_speak.set()
        layer = await waiting
        assert {one.text for one in layer.proposals} == {f"what {name} proposes" for name in "abc"}
        await caller.end()
        assert await there.layer_result(caller.run_id, 0) == layer == await here.layer_result(caller.run_id, 0)


async def test_a_cancel_on_another_server_ends_the_run_and_its_calls(fleet: Fleet) -> None:
    script(fleet)
    fleet.upstream.script("boss", Silence())
    one, two = await fleet.start()
    here, there = await fleet.client(one), await fleet.client(two)
    async with Watcher(here.synthesize("hello", mixture="alone")) as caller:
        await fleet.upstream.wait_for(lambda: fleet.upstream.calls_of("boss"))
        await caller.seen("run_started")
        await there.cancel(caller.run_id)
        assert kind(await caller.end()) == "run_cancelled"
    await fleet.upstream.wait_for(lambda: not fleet.upstream.open_calls)


async def test_a_detached_run_is_fetched_later_from_another_server_by_either_id(sqlite_fleet: Fleet) -> None:
    fleet = sqlite_fleet
    script(fleet)
    keys = fleet.folder / "keys"
    keys.write_bytes(b64encode(urandom(32)))
    fleet.journal["encryption"] = {"keys": {"file": "keys"}}
    one, two = await fleet.start()
    here, there = await fleet.client(one), await fleet.client(two)
    async with here.synthesize("hello", mixture="panel", detached=True, request_id="later") as stream:
        await anext(stream)
        run_id = stream.run_id
    one.process.terminate()  # a run is no server's own
    assert (await there.watch(request_id="later").answer()).text == "the answer of them all"
    assert (await there.watch(run_id).answer()).text == "the answer of them all"
    assert b"what a proposes" not in (fleet.folder / "runs.db").read_bytes(), "texts are sealed at rest"


async def test_a_run_watched_on_another_server_alone_is_not_abandoned(sqlite_fleet: Fleet) -> None:
    fleet = sqlite_fleet
    fleet.upstream.script("boss", Speech(tokens=80, token_s=0.05))
    one, two = await fleet.start(limits={"abandon_grace": "1s"})
    here, there = await fleet.client(one), await fleet.client(two)
    async with here.synthesize("hello", mixture="alone") as stream:
        await anext(stream)
        run_id = stream.run_id
    async with Watcher(there.watch(run_id)) as caller:
        assert kind(await caller.end()) == "run_succeeded"


async def test_a_place_whose_events_are_gone_is_refused_once(sqlite_fleet: Fleet) -> None:
    fleet = sqlite_fleet
    script(fleet)
    await fleet.start(1, limits={"retention": {"content_age": "10ms"}})
    client = await fleet.client()
    response = await client.query("hello", mixture="panel")
    with pytest.raises(ResumePointExpired):
        await read_until_purged(client, response.run.run_id)


async def read_until_purged(client: AsyncClient, run_id: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await kept(client, run_id)
