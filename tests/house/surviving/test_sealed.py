"""Servers that share a journal and cannot all read it."""

import asyncio
from base64 import b64encode
from os import urandom
from typing import Any

from tests.house.servers import Server
from tests.house.surviving.fleet import VOICES, Fleet
from tests.house.surviving.watcher import Watcher, check_whole, kept
from tests.upstream import Cut, Speech


def keyed(fleet: Fleet, name: str) -> dict[str, Any]:
    """Return the journal of a server with keys of its own."""
    (fleet.folder / name).write_bytes(b64encode(urandom(32)))
    return {**fleet.journal, "encryption": {"keys": {"file": name}}, "ownership": "1s"}


async def started(fleet: Fleet, journal: dict[str, Any]) -> Server:
    (server,) = await fleet.start(1, journal=journal)
    return server


async def test_a_run_that_a_server_cannot_unseal_is_left_to_one_that_can(fleet: Fleet) -> None:
    for name in VOICES[:-1]:
        fleet.upstream.script(name, Speech(f"what {name} proposes"))
    fleet.upstream.script("boss", Cut(Speech(tokens=60, token_s=0.05), 10, by="silence"), Speech("the answer"))
    ours, theirs = keyed(fleet, "ours"), keyed(fleet, "theirs")
    owner, stranger = await started(fleet, ours), await started(fleet, theirs)
    client = await fleet.client(owner)
    async with Watcher(client.synthesize("hello", mixture="panel", detached=True)) as caller:
        await caller.seen("answer_delta", 3)
        run_id = caller.run_id
    await asyncio.to_thread(owner.kill)
    await asyncio.to_thread(stranger.wait_for_log, "run.left_to_others")
    heir = await started(fleet, ours)
    there = await fleet.client(heir)
    async with Watcher(there.watch(run_id)) as second:
        end = await second.end()
    assert end.run_succeeded.answer.text == "the answer"
    check_whole(second.events, await kept(there, run_id))
    assert len(fleet.upstream.calls) == 5, "nobody who had answered is asked again"
    assert stranger.process.poll() is None
    left = [line["run_id"] for line in stranger.log() if line["event"] == "run.left_to_others"]
    assert left == [run_id], "one that cannot read it takes it once, and never again"
