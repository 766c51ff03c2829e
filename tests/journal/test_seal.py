from base64 import b64encode
from pathlib import Path

import pytest

from moa_server.domain.event import BEGINNING, AnswerDelta
from moa_server.domain.ports import Append
from moa_server.journal.codec import Codec
from moa_server.journal.seal import AesSeal
from moa_server.journal.sqlite import SqliteJournal
from moa_server.journal.store_errors import JournalCorrupted, JournalSealed
from tests.journal.examples import PLAN, deltas, events, submission

OLD, NEW = b"o" * 32, b"n" * 32


async def test_no_text_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with SqliteJournal(path, codec=Codec(AesSeal([NEW]))) as journal:
        await journal.submit(submission(), "a")
        await journal.write("a", [Append("r1", 1, events(AnswerDelta("a very secret word")))])
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())  # noqa: ASYNC240 - small
        assert b"secret" not in kept
        assert b"salt" not in kept
        assert (await journal.read("r1", BEGINNING, 10))[0].fact == AnswerDelta("a very secret word")


def test_keys_can_be_changed() -> None:
    sealed = Codec(AesSeal([OLD])).plan(PLAN)
    both = Codec(AesSeal([NEW, OLD]))
    assert both.read_plan(sealed) == PLAN
    assert Codec(AesSeal([NEW])).read_plan(both.plan(PLAN)) == PLAN


def test_records_from_before_sealing_are_read() -> None:
    assert Codec(AesSeal([NEW])).read_plan(Codec().plan(PLAN)) == PLAN


@pytest.mark.parametrize("codec", [Codec(), Codec(AesSeal([OLD]))])
def test_without_its_key_a_record_stays_closed(codec: Codec) -> None:
    with pytest.raises(JournalSealed, match="sealed"):
        codec.read_events("r1", Codec(AesSeal([NEW])).events(deltas(1).events))


def test_a_changed_record_is_found_out() -> None:
    codec = Codec(AesSeal([NEW]))
    sealed = bytearray(codec.plan(PLAN))
    sealed[-1] ^= 1
    with pytest.raises(JournalCorrupted, match="changed"):
        codec.read_plan(bytes(sealed))
    with pytest.raises(JournalCorrupted):
        codec.read_plan(bytes(sealed[:8]))


def test_keys_come_from_a_file_the_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b64encode(NEW) + b"\n" + b64encode(OLD) + b"\n")
    sealed = Codec(AesSeal.from_file(path)).plan(PLAN)
    assert Codec(AesSeal([NEW])).read_plan(sealed) == PLAN


@pytest.mark.parametrize("text", ["", "short", b64encode(b"x" * 16).decode(), "ünlesbar"])
def test_a_file_without_proper_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ValueError, match="32 bytes"):
        AesSeal.from_file(path)
