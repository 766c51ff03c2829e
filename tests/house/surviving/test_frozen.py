"""Owners that stop for longer than their ownership lasts, and go on as if nothing had been."""

from tests.house.surviving.fleet import Fleet, freeze, thaw
from tests.house.surviving.watcher import Watcher, check_whole, kept
from tests.upstream import Cut, Speech

ANSWER = Speech("the answer of them all")


async def test_an_owner_that_wakes_after_its_time_is_refused_and_cancels_its_calls(postgres_fleet: Fleet) -> None:
    fleet = postgres_fleet
    for name in ("a", "b", "c"):
        fleet.upstream.script(name, Speech(f"what {name} proposes"))
    fleet.upstream.script("boss", Cut(Speech(tokens=60, token_s=0.05), 10, by="silence"), ANSWER)
    await fleet.start()
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="panel", detached=True)) as caller:
        await caller.seen("answer_delta", 3)
        zombie = await fleet.owner()
        (other,) = (server for server in fleet.servers if server is not zombie)
        freeze(zombie)
        elsewhere = await fleet.client(other)
        async with Watcher(elsewhere.watch(caller.run_id)) as second:
            end = await second.end()
        thaw(zombie)
        assert await caller.end() == end, "the caller of the one that slept is moved over"
        assert end.run_succeeded.answer.text == ANSWER.text
        zombie.wait_for_log("run.lost")
        await fleet.upstream.wait_for(lambda: fleet.upstream.calls_of("boss")[0].aborted is not None)
        whole = await kept(client, caller.run_id)
        check_whole(caller.events, whole)
        check_whole(second.events, whole)
        assert len(fleet.upstream.calls) == 5
