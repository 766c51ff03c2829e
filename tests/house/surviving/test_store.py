"""A store that is down, comes back, or is not for this server."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from moa import JournalUnavailable
from moa.v1.error_pb2 import ERROR_REASON_DEADLINE_EXCEEDED
from moa_server.journal import sqlite_store
from tests.house.health import health_of, until
from tests.house.servers import refused, write
from tests.house.surviving.fleet import Fleet, configuration
from tests.house.surviving.watcher import Watcher, check_whole, kept, kind
from tests.journal.postgres import Postgres
from tests.upstream import Speech, Stage

# A killed store recovers before it takes connections, for longer than other tests last beside busy neighbours.
pytestmark = pytest.mark.timeout(180)

ANSWER = Speech(tokens=80, token_s=0.05)


async def test_tokens_flow_while_the_store_is_dead_and_the_run_ends_when_it_is_back(
    postgres_fleet: Fleet, house_postgres: Postgres
) -> None:
    """Longer than an ownership lasts, so that afterwards every owner looks silent."""
    fleet = postgres_fleet
    for name in ("a", "b", "c"):
        fleet.upstream.script(name, Speech(f"what {name} proposes"))
    fleet.upstream.script("boss", ANSWER)
    await fleet.start()
    client = await fleet.client(fleet.servers[0])
    async with Watcher(client.synthesize("hello", mixture="panel")) as caller:
        await caller.seen("answer_delta", 3)
        await asyncio.to_thread(house_postgres.kill)
        before = len(caller.events)
        await fleet.upstream.wait_for(lambda: not fleet.upstream.open_calls)
        await caller.seen(lambda event: event.answer_delta.text.endswith("word79 "))
        assert len(caller.events) > before
        await until(fleet.servers[0].target, HealthCheckResponse.NOT_SERVING, "moa.readiness")
        assert await health_of(fleet.servers[0].target, "moa.v1.MoaService") == HealthCheckResponse.SERVING
        await asyncio.to_thread(house_postgres.start)
        end = await caller.end()
        assert (end.epoch, end.run_succeeded.answer.text) == (1, ANSWER.whole())
        assert len(fleet.upstream.calls) == 4
        check_whole(caller.events, await kept(client, caller.run_id))


async def test_no_layer_is_paid_for_while_the_store_is_dead(postgres_fleet: Fleet, house_postgres: Postgres) -> None:
    fleet = postgres_fleet
    dead = asyncio.Event()

    async def last_of_the_layer(stage: Stage) -> None:
        await dead.wait()
        await Speech("what c proposes").play(stage)

    for name in ("a", "b"):
        fleet.upstream.script(name, Speech(f"what {name} proposes"))
    fleet.upstream.script("c", last_of_the_layer)
    fleet.upstream.script("boss", Speech("the answer"))
    await fleet.start(1)
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="panel")) as caller:
        await caller.seen("proposal_received", 2)
        await asyncio.to_thread(house_postgres.kill)
        dead.set()
        await fleet.upstream.wait_for(lambda: not fleet.upstream.open_calls)
        await asyncio.to_thread(fleet.servers[0].wait_for_log, "journal.unavailable")
        assert not fleet.upstream.calls_of("boss")
        assert [kind(event) for event in caller.events].count("proposal_received") == 2, "shown once it is durable"
        await asyncio.to_thread(house_postgres.start)
        assert (await caller.end()).run_succeeded.answer.text == "the answer"
        assert len(fleet.upstream.calls) == 4


async def test_a_run_ends_at_its_own_deadline_while_the_store_is_dead(
    postgres_fleet: Fleet, house_postgres: Postgres
) -> None:
    """Nobody's call ends it: the run is detached, and its caller waits for as long as it takes."""
    fleet = postgres_fleet
    fleet.upstream.script("boss", Speech(tokens=100_000, token_s=0.05))
    recipe = {"strategy": "aggregate", "layers": [], "aggregator": "boss", "budget": {"time": "4s"}}
    await fleet.start(1, mixtures={"hurried": recipe})
    client = await fleet.client()
    async with Watcher(client.synthesize("hello", mixture="hurried", detached=True)) as caller:
        await caller.seen("answer_delta", 3)
        await asyncio.to_thread(house_postgres.kill)
        [call] = fleet.upstream.calls
        await fleet.upstream.wait_for(lambda: call.aborted is not None)  # and the store is not started before
        await asyncio.to_thread(house_postgres.start)
        end = (await caller.end()).run_failed.failure
    assert end.reason == ERROR_REASON_DEADLINE_EXCEEDED
    assert end.partial_text.startswith("word0 word1 ")
    assert len(fleet.upstream.calls) == 1


async def test_a_server_whose_store_is_down_is_not_ready_until_it_is_up(
    postgres_fleet: Fleet, house_postgres: Postgres
) -> None:
    fleet = postgres_fleet
    await asyncio.to_thread(house_postgres.kill)
    fleet.upstream.script("boss", Speech("the answer"))
    (server,) = await fleet.start(1)
    assert await health_of(server.target) == HealthCheckResponse.NOT_SERVING
    await asyncio.to_thread(house_postgres.start)
    await until(server.target, HealthCheckResponse.SERVING)
    client = await fleet.client()
    assert (await client.query("hello", mixture="alone")).answer.text == "the answer"


async def test_a_call_while_the_store_is_dead_is_told_so_and_the_next_one_served(
    postgres_fleet: Fleet, house_postgres: Postgres
) -> None:
    fleet = postgres_fleet
    fleet.upstream.script("boss", Speech("the answer"))
    await fleet.start(1)
    client = await fleet.client()
    await asyncio.to_thread(house_postgres.kill)
    with pytest.raises(JournalUnavailable):
        await client.query("hello", mixture="alone", request_id="again", timeout=10)
    await asyncio.to_thread(house_postgres.start)
    assert (await client.query("hello", mixture="alone", request_id="again")).answer.text == "the answer"
    assert len(fleet.upstream.calls) == 1


def test_a_store_that_needs_newer_servers_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    newest = sqlite_store.migrate_sqlite(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO steps VALUES (?, ?)", (newest + 1, newest + 1))
        connection.commit()
    (line,) = refused(write(tmp_path, configuration("http://127.0.0.1:1/v1", {"sqlite": {"path": "runs.db"}})))
    assert line.startswith(f"the journal's schema is at step {newest + 1}")


def test_a_file_that_is_no_journal_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_bytes(b"no database at all " * 100)
    (line,) = refused(write(tmp_path, configuration("http://127.0.0.1:1/v1", {"sqlite": {"path": "runs.db"}})))
    assert "is no SQLite database" in line


def test_a_key_file_without_keys_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("not a key")
    journal = {"sqlite": {"path": "runs.db"}, "encryption": {"keys": {"file": "keys"}}}
    (line,) = refused(write(tmp_path, configuration("http://127.0.0.1:1/v1", journal)))
    assert line.startswith("journal.encryption.keys.file: ")
