"""Where a script plays: one request's connection, and the things that can be done to it."""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tests.upstream.ledger import Call
from tests.upstream.wire import Asked, Wire
from tests.upstream.wires import WIRES, dialect_of

_RESET = struct.pack("ii", 1, 0)
_REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 500: "Oops"}


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asked."""

    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body.get("model", "")) if isinstance(self.body, dict) else ""

    @property
    def dialect(self) -> str:
        """The dialect that the path belongs to."""
        return dialect_of(self.path)

    def asked(self) -> Asked:
        """Return the question, in words that are the same for every dialect."""
        return WIRES[self.dialect].asked(self.body if isinstance(self.body, dict) else {})


@runtime_checkable
class Player(Protocol):
    """A script: plays one answer."""

    async def play(self, stage: "Stage") -> None: ...


class Stage:
    """One request under way."""

    def __init__(self, request: Request, call: Call, transport: asyncio.Transport, changed: Callable[[], None]) -> None:
        self.request = request
        self.call = call
        self._transport = transport
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._chunked = False
        self.keeps_connection = True

    @property
    def events(self) -> Wire:
        """What its dialect has to say, as the model that was asked."""
        return self.events_of(self.request.model)

    def events_of(self, model: str) -> Wire:
        """Return what its dialect has to say, as a model of this name."""
        return WIRES[self.request.dialect](model, self.call.input_tokens)

    def head(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send the status and headers. Without a content-length the body is sent in chunks."""
        fields = {"content-type": "text/event-stream", **(headers or {})}
        self._chunked = not any(name.lower() in {"content-length", "connection"} for name in fields)
        if self._chunked:
            fields["transfer-encoding"] = "chunked"
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Other')}", *(f"{k}: {v}" for k, v in fields.items())]
        self.wire("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def wire(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self.call.first_byte is None:
            self.call.first_byte = self._loop.time()
        self._transport.write(data)
        self._changed()

    def send(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.wire(frame(data) if self._chunked else data)

    def end(self) -> None:
        """Send the end of the body."""
        if self._chunked:
            self.wire(b"0\r\n\r\n")

    def reset(self) -> None:
        """Tear the connection down, so that the caller sees a reset."""
        self.keeps_connection = False
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def hang_up(self) -> None:
        """Close the connection after what was sent."""
        self.keeps_connection = False
        self._transport.close()

    async def until(self, moment: float) -> None:
        """Wait for a moment of asyncio's clock."""
        left = moment - self._loop.time()
        if left > 0:
            await asyncio.sleep(left)

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await self.until(self._loop.time() + seconds)

    async def silence(self) -> None:
        """Say nothing until the caller goes away."""
        await self._loop.create_future()


def frame(data: bytes) -> bytes:
    """Return a chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
