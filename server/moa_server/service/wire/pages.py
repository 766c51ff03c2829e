"""Keeps responses within what every language takes by default: parts of lists, and of streams, that fit a message."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeVar

from google.protobuf.message import Message

from moa.v1 import moa_service_pb2 as pb
from moa_server.domain.event import Event
from moa_server.service.wire.events import write_event
from moa_server.service.wire.queries import Violations

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a response: what gRPC takes by default, in every language."""
_ROOM: Final = MOST_BYTES - 64 * 1024
"""For the items of a page, beside what else the response holds."""
_STREAM_ROOM: Final = 1024 * 1024
"""For the events of one message, unless it is a single one."""
_FRAME: Final = 8

Item = TypeVar("Item", bound=Message)
Streamed = TypeVar("Streamed", pb.SynthesizeResponse, pb.WatchRunResponse)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list that is asked for."""

    first: int
    most: int
    """Zero means as many as fit."""
    of: str
    """Which list it is: a token of another one is refused."""


def read_page(size: int, token: str, of: str, violations: Violations) -> Page:
    """Return the page that a request asks for, and note what is wrong with it."""
    violations.check(size >= 0, "page_size", f"is {size}; it must not be negative")
    if not token:
        return Page(0, size, of)
    try:
        first, _, digest = urlsafe_b64decode(token.encode()).decode("ascii").partition(".")
        if digest == _digest(of) and first.isdecimal():
            return Page(int(first), size, of)
    except (binascii.Error, ValueError):
        pass
    violations.add("page_token", "is not the next_page_token of a response to this request")
    return Page(0, size, of)


def fitting(items: Sequence[Item], page: Page) -> tuple[Sequence[Item], str]:
    """Return the items of a page, at least one where there are any, and the token of the next page."""
    room, end = _ROOM, page.first
    most = page.first + page.most if page.most else len(items)
    for item in items[page.first : most]:
        room -= item.ByteSize() + _FRAME
        if room < 0 and end > page.first:
            break
        end += 1
    token = f"{end}.{_digest(page.of)}".encode()
    return items[page.first : end], urlsafe_b64encode(token).decode() if end < len(items) else ""


def messages_of(events: Iterable[Event], begun: Callable[[], Streamed]) -> Iterator[Streamed]:
    """Write events into as few messages as they fit."""
    message, room = begun(), _STREAM_ROOM
    for event in events:
        written = message.events.add()
        write_event(event, written)
        size = written.ByteSize() + _FRAME
        if size > room and len(message.events) > 1:
            following = begun()
            following.events.append(written)
            del message.events[-1]
            yield message
            message, room = following, _STREAM_ROOM
        room -= size
    yield message


def _digest(of: str) -> str:
    return sha256(of.encode()).hexdigest()[:16]
