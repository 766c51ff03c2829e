"""What the upstream can do with a call."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tests.upstream.stage import Player, Request, Stage, frame
from tests.upstream.wire import Wire, event
from tests.upstream.wires import WIRES

Script = Player | Callable[[Request], Player] | Callable[[Stage], Awaitable[None]]
"""An answer; or what makes one of the request; or a coroutine function that plays on the stage itself."""

_HONEST = object()


@dataclass(frozen=True, eq=False)
class Speech:
    """An answer, token by token."""

    text: str = ""
    """Empty with ``tokens`` set: words are made up."""
    tokens: int | None = None
    """How many pieces the text is cut into; by words when None."""
    first_token_s: float = 0.0
    """From the request to the first token; the headers go out at once."""
    token_s: float = 0.0
    """Between two tokens; 0 sends all at once."""
    usage: Any = _HONEST
    """The usage object to send in place of the honest one; None sends none."""
    finish: str | None = "stop"
    """In the words of chat completions; None sends none."""
    reasoning: str = ""
    reasoning_field: str = "reasoning_content"
    refusal: str = ""
    served_model: str = ""
    """What it calls itself; the model asked for when empty."""
    done: bool = True
    """Whether the terminal marker is sent."""
    logprob: float | None = None
    """Of every token."""

    async def play(self, stage: Stage) -> None:
        """Answer and end the body."""
        await self.recite(stage)
        self.close(stage)
        stage.end()

    def close(self, stage: Stage) -> None:
        """Send what ends the stream, but not the end of the body."""
        wire = stage.events_of(self.served_model or stage.request.model)
        honest = wire.usage(stage.call.tokens_sent, len(_split(self.reasoning, None)))
        stage.call.reported = honest if self.usage is _HONEST else self.usage
        stage.send(wire.closing(self.finish, stage.call.reported, done=self.done))

    async def recite(self, stage: Stage, pieces: int | None = None) -> None:
        """Send the headers and the pieces, or the first few of them."""
        stage.head()
        wire, model = WIRES[stage.request.dialect], self.served_model or stage.request.model
        stage.wire(_opening(wire, model, stage.call.input_tokens))
        frames = _frames(self, wire, model)[:pieces]
        due = asyncio.get_running_loop().time() + self.first_token_s
        await stage.until(due)
        if not self.token_s:
            stage.call.tokens_sent += len(frames)
            stage.wire(b"".join(frames))
            return
        for number, data in enumerate(frames):
            await stage.until(due + number * self.token_s)
            stage.call.tokens_sent += 1
            stage.wire(data)

    def pieces(self) -> tuple[str, ...]:
        """Return the text, cut into its tokens."""
        if self.tokens is not None and not self.text:
            return tuple(f"word{number} " for number in range(self.tokens))
        return _split(self.text, self.tokens)

    def whole(self) -> str:
        """Return the text that a caller should have in the end."""
        return "".join(self.pieces())


def _split(text: str, tokens: int | None) -> tuple[str, ...]:
    if not tokens:
        words = text.split(" ")
        return tuple(word + " " for word in words[:-1]) + ((words[-1],) if words[-1] else ())
    size, more = divmod(len(text), tokens)
    ends = [(number + 1) * size + min(number + 1, more) for number in range(tokens)]
    return tuple(text[start:end] for start, end in zip([0, *ends], ends, strict=False))


@lru_cache(maxsize=256)
def _opening(kind: type[Wire], model: str, input_tokens: int) -> bytes:
    return frame(kind(model, input_tokens).opening())


@lru_cache(maxsize=256)
def _frames(speech: Speech, kind: type[Wire], model: str) -> tuple[bytes, ...]:
    """Prebuild a speech's chunks, so that a measured upstream costs little."""
    wire = kind(model, 0)
    thoughts = [wire.reasoning(piece, speech.reasoning_field) for piece in _split(speech.reasoning, None)]
    said = [wire.piece(piece, speech.logprob) for piece in speech.pieces()]
    refusal = [wire.refusal(speech.refusal)] if speech.refusal else []
    return tuple(frame(data) for data in [*thoughts, *said, *refusal])


@dataclass(frozen=True, eq=False)
class Whole:
    """A speech in one piece, as JSON in place of a stream; not even the headers come before it is done."""

    speech: Speech
    content_type: str = "application/json"
    cut: int | None = None
    """How many bytes of it are sent; all when None."""
    by: str = "end"
    """What follows then, as of a `Cut`."""

    async def play(self, stage: Stage) -> None:
        speech, pieces = self.speech, self.speech.pieces()
        await stage.pause(speech.first_token_s + len(pieces) * speech.token_s)
        wire = stage.events_of(speech.served_model or stage.request.model)
        stage.call.tokens_sent = len(pieces)
        honest = wire.usage(len(pieces), len(_split(speech.reasoning, None)))
        stage.call.reported = honest if speech.usage is _HONEST else speech.usage
        body = json.dumps(wire.whole(speech.whole(), speech.finish, stage.call.reported, speech.reasoning)).encode()
        stage.head(200, {"content-type": self.content_type})
        stage.send(body[: self.cut])
        if self.cut is not None:
            await asyncio.sleep(0.02)  # a reset that overtakes the data would be another fault
        await _ENDS[self.by](stage)


@dataclass(frozen=True, eq=False)
class Cut:
    """A speech that breaks off after so many tokens."""

    speech: Speech
    after: int = 1
    by: str = "reset"
    """``reset``, ``close`` (the connection), ``end`` (the body, as if it were complete), ``silence``, ``keepalives``
    or ``error`` (an error object in the stream)."""

    async def play(self, stage: Stage) -> None:
        await self.speech.recite(stage, self.after)
        await asyncio.sleep(0.02)  # a reset that overtakes the data would be another fault
        await _ENDS[self.by](stage)


async def _error(stage: Stage) -> None:
    stage.send(stage.events.overload())
    stage.end()


async def _reset(stage: Stage) -> None:
    stage.reset()


async def _close(stage: Stage) -> None:
    stage.hang_up()


async def _end(stage: Stage) -> None:
    stage.end()


async def _keep_alive(stage: Stage, every_s: float = 0.01) -> None:
    while True:
        stage.send(b": keep-alive\n\n")
        await asyncio.sleep(every_s)


_ENDS: Mapping[str, Callable[[Stage], Awaitable[None]]] = {
    "reset": _reset,
    "close": _close,
    "end": _end,
    "silence": Stage.silence,
    "keepalives": _keep_alive,
    "error": _error,
}


@dataclass(frozen=True, eq=False)
class Status:
    """An answer that is a failure."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """The dialect's own error object when None."""
    kind: str = "some_error"
    error_code: str | int | None = None
    message: str = "the upstream's own words"

    async def play(self, stage: Stage) -> None:
        body = self.body
        if body is None:
            body = json.dumps(stage.events.error(self.kind, self.message, self.error_code)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
        stage.head(self.code, headers)
        stage.send(body)


def Redirect(to: str, code: int = 302) -> Status:
    """Return an answer that sends the caller elsewhere."""
    return Status(code, {"location": to}, b"")


@dataclass(frozen=True, eq=False)
class Reset:
    """A connection torn down: before the headers, or after them."""

    before_headers: bool = True

    async def play(self, stage: Stage) -> None:
        if not self.before_headers:
            stage.head()
            await asyncio.sleep(0.02)
        stage.reset()


@dataclass(frozen=True, eq=False)
class Silence:
    """Nothing, until the caller goes away."""

    after_headers: bool = False

    async def play(self, stage: Stage) -> None:
        if self.after_headers:
            stage.head()
        await stage.silence()


@dataclass(frozen=True, eq=False)
class KeepAlives:
    """Comments that keep the connection alive, and never a token."""

    every_s: float = 0.01

    async def play(self, stage: Stage) -> None:
        stage.head()
        await _keep_alive(stage, self.every_s)


@dataclass(frozen=True, eq=False)
class Raw:
    """A body of any bytes under proper headers; piece by piece."""

    pieces: tuple[bytes, ...] | bytes
    content_type: str = "text/event-stream"
    code: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def play(self, stage: Stage) -> None:
        stage.head(self.code, {"content-type": self.content_type, **self.headers})
        for piece in (self.pieces,) if isinstance(self.pieces, bytes) else self.pieces:
            stage.send(piece)
        stage.end()


def Events(*events: object) -> Raw:
    """Return a stream of these events' data: JSON values, or strings as they are."""
    return Raw(tuple(event(data, data.get("type", "") if isinstance(data, dict) else "") for data in events))


@dataclass(frozen=True, eq=False)
class NotAllowed:
    """An event that the dialect does not allow."""

    async def play(self, stage: Stage) -> None:
        stage.head()
        stage.send(event(stage.events.not_allowed))
        stage.end()


@dataclass(frozen=True, eq=False)
class Drip:
    """A speech, one byte at a time."""

    speech: Speech
    every_s: float = 1.0

    async def play(self, stage: Stage) -> None:
        stage.head()
        wire = stage.events
        said = b"".join(wire.piece(piece) for piece in self.speech.pieces())
        for byte in wire.opening() + said + wire.closing("stop", wire.usage(1, 0), done=True):
            stage.send(bytes((byte,)))
            await asyncio.sleep(self.every_s)
        stage.end()


@dataclass(frozen=True, eq=False)
class Endless:
    """A piece of text, or of reasoning, again and again until the caller goes away."""

    piece: str = ""
    reasoning: str = ""
    before: str = ""
    """Said once, ahead of it."""

    async def play(self, stage: Stage) -> None:
        stage.head()
        wire = stage.events
        stage.send(wire.opening() + (wire.piece(self.before) if self.before else b""))
        said = wire.piece(self.piece) if self.piece else wire.reasoning(self.reasoning, "reasoning_content")
        while True:
            stage.call.tokens_sent += 1
            stage.send(said)
            await stage.pause(0.0005)


@dataclass(frozen=True, eq=False)
class Garbage:
    """Bytes that are no HTTP."""

    data: bytes = b"\x00\x01 this is no HTTP\r\n\r\n"

    async def play(self, stage: Stage) -> None:
        stage.wire(self.data)
        stage.hang_up()
