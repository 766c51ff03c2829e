"""Servers that die in the middle of a run: nothing answered is asked again, nothing seen is lost."""

from collections.abc import Callable
from typing import Any

from moa.v1.error_pb2 import ERROR_REASON_RUN_ABANDONED
from moa.v1.event_pb2 import Event
from tests.house.servers import Server
from tests.house.surviving.fleet import Fleet
from tests.house.surviving.watcher import Watcher, check_whole, kept, kind
from tests.upstream import Cut, Silence, Speech

ANSWER = Speech("the answer of them all")
SLOW = Speech(tokens=60, token_s=0.05)


def delta_of(epoch: int) -> Callable[[Event], bool]:
    return lambda event: event.epoch == epoch and kind(event) == "answer_delta"


def script(fleet: Fleet) -> None:
    for name in ("a", "b", "c"):
        fleet.upstream.script(name, Speech(f"what {name} proposes"))
    fleet.upstream.script("boss", ANSWER)


async def test_an_owner_killed_in_a_proposer_layer_is_followed_by_another(fleet: Fleet) -> None:
    script(fleet)
    fleet.upstream.script("c", Silence(), Speech("what c proposes"))
    await fleet.start()
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="panel")) as caller:
        await caller.seen("proposal_received", 2)
        (await fleet.owner()).kill()
        end = await caller.end()
        assert end.run_succeeded.answer.text == ANSWER.text
        assert [len(fleet.upstream.calls_of(name)) for name in ("a", "b", "c", "boss")] == [1, 1, 2, 1]
        assert end.run_succeeded.usage.calls == 5, "the call that was lost is counted too"
        check_whole(caller.events, await kept(client, caller.run_id))
        assert [kind(event) for event in caller.events].count("run_adopted") == 1


async def test_an_owner_killed_in_the_middle_of_the_answer_is_followed_by_another(fleet: Fleet) -> None:
    script(fleet)
    fleet.upstream.script("boss", Cut(SLOW, 20, by="silence"), ANSWER)
    await fleet.start()
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="panel")) as caller:
        await caller.seen("answer_delta", 5)
        (await fleet.owner()).kill()
        end = await caller.end()
        whole = await kept(client, caller.run_id)
        last = [
            event.answer_delta.text for event in caller.events if event.epoch == 2 and kind(event) == "answer_delta"
        ]
        assert "".join(last) == end.run_succeeded.answer.text == ANSWER.text
        assert [len(fleet.upstream.calls_of(name)) for name in ("a", "b", "c", "boss")] == [1, 1, 1, 2]
        check_whole(caller.events, whole)


async def test_two_owners_killed_in_a_row_are_followed_by_a_third(fleet: Fleet) -> None:
    script(fleet)
    fleet.upstream.script("boss", Cut(SLOW, 20, by="silence"), Cut(SLOW, 20, by="silence"), ANSWER)
    await fleet.start(3)
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="panel")) as caller:
        for epoch in (1, 2):
            await caller.seen(delta_of(epoch), 3)
            (await fleet.owner()).kill()
        end = await caller.end()
        assert (end.epoch, end.run_succeeded.answer.text) == (3, ANSWER.text)
        assert [len(fleet.upstream.calls_of(name)) for name in ("a", "b", "c", "boss")] == [1, 1, 1, 3]
        check_whole(caller.events, await kept(client, caller.run_id))


async def test_an_owner_killed_while_it_hands_over_loses_nothing(fleet: Fleet) -> None:
    script(fleet)
    fleet.upstream.script("boss", Cut(SLOW, 20, by="silence"), ANSWER)
    await fleet.start()
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="panel")) as caller:
        await caller.seen("answer_delta")
        owner = await fleet.owner()
        owner.process.terminate()
        owner.kill()
        assert (await caller.end()).run_succeeded.answer.text == ANSWER.text
        check_whole(caller.events, await kept(client, caller.run_id))


async def test_a_stopping_server_hands_its_runs_over(fleet: Fleet) -> None:
    script(fleet)
    fleet.upstream.script("boss", Cut(SLOW, 20, by="silence"), ANSWER)
    await fleet.start()
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="panel")) as caller:
        await caller.seen("answer_delta")
        owner = await fleet.owner()
        owner.process.terminate()
        assert (await caller.end()).run_succeeded.answer.text == ANSWER.text
        check_whole(caller.events, await kept(client, caller.run_id))
    assert owner.ended() == 0


async def lose_five_owners(fleet: Fleet, lose: Callable[[Server], None]) -> list[dict[str, Any]]:
    """Let a run be answered by the sixth of its owners; return what they logged when they took it over."""
    script(fleet)
    fleet.upstream.script("boss", *[Cut(SLOW, 20, by="silence")] * 5, ANSWER)
    await fleet.start(6)
    client = await fleet.client()
    lost: list[Server] = []
    async with Watcher(client.synthesize("hello", mixture="panel")) as caller:
        for epoch in range(1, 6):
            await caller.seen(delta_of(epoch), 3)
            lost.append(await fleet.owner(lambda server: server not in lost))
            lose(lost[-1])
        end = await caller.end()
        check_whole(caller.events, await kept(client, caller.run_id))
    assert (end.epoch, end.run_succeeded.answer.text) == (6, ANSWER.text)
    logged = (line for server in fleet.servers for line in server.log() if line["event"] == "run.adopted")
    return sorted(logged, key=lambda line: int(line["epoch"]))


async def test_owners_that_hand_over_are_not_lost_however_many(sqlite_fleet: Fleet) -> None:
    sqlite_fleet.journal["most_owners"] = 1
    adopted = await lose_five_owners(sqlite_fleet, lambda owner: owner.process.terminate())
    assert [line["after_loss"] for line in adopted] == [False] * 5


async def test_a_run_whose_owners_are_killed_is_carried_on_however_many(postgres_fleet: Fleet) -> None:
    """It is tried alone after the second, and a kill in its trial says nothing against it."""
    adopted = await lose_five_owners(postgres_fleet, Server.kill)
    assert [line["on_trial"] for line in adopted] == [False, True, True, True, True]


async def test_a_run_that_has_killed_too_many_owners_fails_with_a_typed_error(sqlite_fleet: Fleet) -> None:
    sqlite_fleet.upstream.script("boss", Silence())
    sqlite_fleet.journal["most_owners"] = 1
    await sqlite_fleet.start()
    client = await sqlite_fleet.client()
    async with Watcher(client.synthesize("hello", mixture="alone")) as caller:
        await caller.seen("agent_started")
        (await sqlite_fleet.owner()).kill()
        end = await caller.end()
    assert end.run_failed.failure.reason == ERROR_REASON_RUN_ABANDONED
