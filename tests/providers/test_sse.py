"""Server-sent events come out the same however their bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.errors import ModelProtocolBroken
from moa_server.providers.sse import EventReader, ServerSentEvent


def read(*pieces: bytes, largest: int = 1000) -> list[ServerSentEvent]:
    reader = EventReader(largest)
    return [event for piece in pieces for event in reader.feed(piece)]


def data(*pieces: bytes) -> list[bytes]:
    return [event.data for event in read(*pieces)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b": a comment\n\n:\n\ndata: a\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data:a\ndata:  b\n\n", [b"a\n b"]),
        (b"data\n\n", [b""]),
        (b"id: 7\nretry: 5\nnonsense\n\ndata: a\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"data: unfinished\n", []),
        ("data: a\u2028b\u0085c\x0bd\x0ce\x1cf\n\n".encode(), ["a\u2028b\u0085c\x0bd\x0ce\x1cf".encode()]),
    ],
)
def test_events_are_read(stream: bytes, events: list[bytes]) -> None:
    assert data(stream) == events
    assert data(*(bytes((byte,)) for byte in stream)) == events


def test_an_event_has_its_own_name_only() -> None:
    events = read(b"event: ping\ndata: a\n\nevent: lost\n\ndata: b\n\n")
    assert events == [ServerSentEvent(b"ping", b"a"), ServerSentEvent(b"", b"b")]


@pytest.mark.parametrize("pieces", [[b"data: " + b"x" * 2000], [b"data: " + b"x" * 90 + b"\n"] * 20, [b"x" * 100] * 20])
def test_a_huge_event_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(ModelProtocolBroken, match="larger than 1000 bytes"):
        read(*pieces)


def test_many_events_are_not_one_huge_event() -> None:
    assert len(read(*[b"data: " + b"x" * 90 + b"\n\n"] * 50)) == 50


def test_comments_without_end_take_no_room() -> None:
    assert read(*[b": keep-alive " + b"x" * 90 + b"\n"] * 50) == []


def test_an_event_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(ModelProtocolBroken, match="not UTF-8"):
        read(b"data: \xff\n\n")


LINES = st.sampled_from(
    [b"data: one", b"data:", b"data: \xc3\xa5\xe2\x80\xa8", b": hush", b"event: e", b"", b"", b"id"]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(LINES, ENDS)), st.booleans(), st.lists(st.integers(0, 300)))
def test_any_cutting_gives_the_same_events(lines: list[tuple[bytes, bytes]], bom: bool, cuts: list[int]) -> None:  # noqa: FBT001
    stream = (b"\xef\xbb\xbf" if bom else b"") + b"".join(line + end for line, end in lines)
    places = sorted({min(cut, len(stream)) for cut in cuts})
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    assert read(*pieces) == read(stream)
