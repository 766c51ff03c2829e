"""Reads server-sent events from bytes that come in any pieces."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from moa_server.domain.errors import ModelProtocolBroken

LARGEST_EVENT: Final = 4 * 1024 * 1024
"""Of its data, in bytes; many times what any endpoint sends."""
_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event."""

    name: bytes
    """Empty when it has none."""
    data: bytes
    """Its lines of data, joined; always UTF-8."""


class EventReader:
    """Takes bytes in, gives events out. What is unfinished at the end is no event."""

    def __init__(self, largest: int = LARGEST_EVENT) -> None:
        self._largest = largest
        self._begun = False
        self._ended_in_cr = False
        self._tail: list[bytes] = []
        """The beginning of a line that has not ended yet."""
        self._tail_size = 0
        self._name = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """Take the next bytes.

        Raises:
            ModelProtocolBroken: an event is too large, or is not UTF-8.
        """
        is_between = self._begun and not (self._tail or self._data or self._name or self._ended_in_cr)
        # Nearly every piece is nothing but whole events in the common form, which are read much faster.
        if not (is_between and len(piece) < self._largest and piece[-2:] == b"\n\n" and b"\r" not in piece):
            yield from self._any_events(piece)
            return
        ascii_only = piece.isascii()
        for block in piece[:-2].split(b"\n\n"):
            if block[:6] != b"data: " or b"\n" in block:
                yield from self._any_events(block + b"\n\n")
                continue
            data = block[6:]
            if not ascii_only:
                _check_utf8(data)
            yield ServerSentEvent(b"", data)

    def _any_events(self, piece: bytes) -> Iterator[ServerSentEvent]:
        for line in self._lines(piece):
            if line:
                field, _, value = line.partition(b":")
                value = value[1:] if value[:1] == b" " else value
                if field == b"data":
                    self._data.append(value)
                    self._size += len(value) + 1
                    self._check_size()
                elif field == b"event":
                    self._name = value
            elif self._data:
                data = b"\n".join(self._data)
                if not data.isascii():
                    _check_utf8(data)
                event = ServerSentEvent(self._name, data)
                self._name, self._size = b"", 0
                self._data.clear()
                yield event
            else:
                self._name = b""  # of an event without data, which is none

    def _lines(self, piece: bytes) -> Iterator[bytes]:
        if self._ended_in_cr and piece:
            piece = piece[1:] if piece[:1] == b"\n" else piece
            self._ended_in_cr = False
        for line in piece.splitlines(keepends=True):  # of bytes: at LF, CR and CRLF, and nowhere else
            if line[-1:] not in {b"\n", b"\r"}:
                self._tail.append(line)
                self._tail_size += len(line)
                self._check_size()
                return
            if self._tail:
                line = b"".join([*self._tail, line])  # noqa: PLW2901 - the same line, whole
                self._tail.clear()
                self._tail_size = 0
            if not self._begun:
                self._begun = True
                line = line.removeprefix(_BOM)  # noqa: PLW2901 - the same line, without the mark
            yield line.rstrip(b"\r\n")
        self._ended_in_cr = piece[-1:] == b"\r"

    def _check_size(self) -> None:
        if self._size + self._tail_size > self._largest:
            raise ModelProtocolBroken(f"an event is larger than {self._largest} bytes")


def _check_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise ModelProtocolBroken("an event is not UTF-8") from None
