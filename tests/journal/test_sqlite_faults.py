import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # has no stubs
import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import BEGINNING, AnswerDelta
from moa_server.domain.ports import Append
from moa_server.journal import sqlite_store
from moa_server.journal.codec import Codec
from moa_server.journal.seal import AesSeal
from moa_server.journal.sqlite import SqliteJournal
from moa_server.journal.store_errors import JournalCorrupted, JournalFull, JournalTooNew
from tests.journal.examples import deltas, events, submission
from tests.journal.holder import Holder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def spoil(path: Path) -> None:
    """Overwrite every page but the first."""
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x5a" * (len(whole) - 4096))


@pytest.mark.parametrize("content", [b"not a database at all " * 100, b"SQLite format 3\0" + b"\xff" * 8192])
async def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    await asyncio.to_thread(path.write_bytes, content)
    with pytest.raises(JournalCorrupted, match=str(path)):
        async with SqliteJournal(path):
            pass


async def test_a_file_that_is_refused_is_let_go(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"not a database at all " * 100)
    with pytest.raises(JournalCorrupted) as refused:
        async with SqliteJournal(path):
            pass
    assert str(path) not in {file.path for file in psutil.Process().open_files()}
    assert refused.value.__traceback__ is not None, "whose frames keep from being forgotten what nobody closed"


async def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE birds (name)")
    with pytest.raises(JournalCorrupted, match="something else"):
        async with SqliteJournal(path):
            pass
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("birds",)]


async def test_pages_that_went_bad_are_named(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await journal.submit(submission(), "a")
        await journal.write("a", [deltas(500)])
    await asyncio.to_thread(spoil, path)
    with pytest.raises(JournalCorrupted, match="corrupted"):
        async with SqliteJournal(path) as journal:
            await journal.find("r1")


async def test_a_schema_that_needs_newer_servers_is_refused(path: Path) -> None:
    newest = sqlite_store.migrate_sqlite(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO steps VALUES (?, ?)", (newest + 1, newest + 1))
        connection.commit()
    with pytest.raises(JournalTooNew, match=f"step {newest + 1}"):
        async with SqliteJournal(path):
            pass


async def test_a_newer_schema_that_serves_this_server_is_taken(path: Path) -> None:
    newest = sqlite_store.migrate_sqlite(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO steps VALUES (?, ?)", (newest + 1, newest))
        connection.commit()
    async with SqliteJournal(path) as journal:
        assert (await journal.submit(submission(), "a")).created


def test_migrating_again_changes_nothing(path: Path) -> None:
    assert sqlite_store.migrate_sqlite(path) == sqlite_store.migrate_sqlite(path)


async def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="nowhere"):
        async with SqliteJournal(tmp_path / "nowhere" / "journal.db"):
            pass


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("takes a system that mounts")
    mounted = subprocess.run([mount, "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("takes the right to mount")
    yield folder
    subprocess.run([umount, folder], check=True)


async def test_a_full_disk_is_named_and_nothing_is_kept_of_the_write(small_disk: Path) -> None:
    async with SqliteJournal(small_disk / "journal.db") as journal:
        await journal.submit(submission(), "a")
        await journal.write("a", [deltas(3)])
        long = events(AnswerDelta("x" * 600_000), first=4)
        with pytest.raises(JournalFull, match="no room"):
            await journal.write("a", [Append("r1", 1, long)])
        assert len(await journal.read("r1", BEGINNING, 10)) == 3
        await journal.write("a", [deltas(1, first=4)])
        assert len(await journal.read("r1", BEGINNING, 10)) == 4


@pytest.mark.parametrize("how", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_file_that_a_frozen_process_holds_is_unavailable_and_then_comes_back(
    path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_BUSY_S", 0.5)
    async with SqliteJournal(path) as journal:
        await journal.submit(submission(), "a")
        with await asyncio.to_thread(Holder, path, how) as holder:
            holder.freeze()
            for _ in range(2):
                with pytest.raises(JournalUnavailable, match="locked"):
                    await journal.write("a", [deltas(1)])
            assert await journal.find("r1") is not None, "readers wait for no writer"
            await asyncio.to_thread(holder.go_on)
            assert not (await journal.write("a", [deltas(1)])).lost
        assert len(await journal.read("r1", BEGINNING, 10)) == 1


async def test_a_file_that_is_held_is_opened_if_nothing_is_to_be_changed(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await journal.submit(submission(), "a")
    with await asyncio.to_thread(Holder, path) as holder:
        holder.freeze()
        async with SqliteJournal(path) as journal:
            assert await journal.find("r1") is not None


async def test_a_new_file_is_opened_while_another_process_is_about_to_write_to_it(path: Path) -> None:
    """SQLite itself does not wait there."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.3, other.execute, "ROLLBACK")
        async with SqliteJournal(path) as journal:
            assert (await journal.submit(submission(), "a")).created


async def test_once_one_has_waited_in_vain_the_others_are_told_at_once_until_the_file_is_let_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_BUSY_S", 0.5)
    monkeypatch.setattr(sqlite_store, "_HELD_S", 0.0)
    loop = asyncio.get_running_loop()
    async with SqliteJournal(path) as journal:
        await journal.submit(submission(), "a")
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            took = []
            for _ in range(2):
                began = loop.time()
                with pytest.raises(JournalUnavailable, match="locked"):
                    await journal.write("a", [deltas(1)])
                took.append(loop.time() - began)
        assert took[0] >= 0.4 > took[1]
        assert not (await journal.write("a", [deltas(1)])).lost


WRITER = """
import asyncio, sys
from pathlib import Path
from moa_server.journal.sqlite import SqliteJournal
from tests.journal.examples import deltas, submission

async def main():
    async with SqliteJournal(Path(sys.argv[1])) as journal:
        await journal.submit(submission(), "a")
        for first in range(1, 1 << 30):
            await journal.write("a", [deltas(1, first=first)])
            print(first, flush=True)

asyncio.run(main())
"""


async def test_what_was_confirmed_survives_a_killed_writer(path: Path) -> None:
    python = [sys.executable, "-c", WRITER, str(path)]
    writer = await asyncio.create_subprocess_exec(*python, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    confirmed = 0
    while confirmed < 20:
        confirmed = int(await writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    confirmed = max([confirmed, *map(int, (await writer.stdout.read()).split())])
    await writer.wait()
    async with SqliteJournal(path) as journal:
        kept = [event.sequence for event in await journal.read("r1", BEGINNING, 1 << 30)]
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) in (confirmed, confirmed + 1)


async def test_operations_that_wait_together_share_a_commit_and_fail_apart(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await journal.submit(submission("r0", "q0"), "a")
        many = [journal.submit(submission(f"r{number}", f"q{number}"), "a") for number in range(1, 20)]
        wrong = journal.submit(submission("r99", "q0", fingerprint="another"), "a")
        outcomes = await asyncio.gather(*many, wrong, return_exceptions=True)
        assert [type(outcome).__name__ for outcome in outcomes] == ["Registered"] * 19 + ["RequestIdReused"]
        assert await journal.find("r19") is not None
        assert await journal.find("r99") is None


async def test_a_run_that_cannot_be_read_holds_no_other_up(path: Path) -> None:
    sealing = Codec(AesSeal([b"k" * 32]))
    async with SqliteJournal(path, codec=sealing) as sealed, SqliteJournal(path) as journal:
        await sealed.submit(submission("sealed", "sealed"), "a")
        await journal.submit(submission("plain", "plain"), "a")
        await journal.release("a", ["sealed", "plain"])
        assert [record.run_id for record in await journal.claim("b", 10)] == ["plain"]
        assert not await journal.claim("b", 10), "it is left at once, and never claimed here again"
        assert [record.run_id for record in await sealed.claim("c", 10)] == ["sealed"], "but by others"
