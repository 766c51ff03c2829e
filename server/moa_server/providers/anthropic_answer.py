"""Understands the events of a Messages stream."""

from typing import Final

import msgspec

from moa_server.domain.model import FinishReason, ModelSpec
from moa_server.domain.usage import Usage
from moa_server.providers.complaint import Complaint, read_complaint
from moa_server.providers.failures import reported
from moa_server.providers.sse import Event
from moa_server.providers.transcript import Transcript


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(msgspec.Struct):
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    message: _Message | None = None
    content_block: _Delta | None = None
    delta: _Delta | None = None
    usage: msgspec.Raw = msgspec.Raw()


_FINISHES: Final = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
}

_events = msgspec.json.Decoder(_Event)
_usages = msgspec.json.Decoder(_Usage)


class AnthropicListener:
    """One answer as it comes."""

    def __init__(self, spec: ModelSpec, transcript: Transcript) -> None:
        self.transcript = transcript
        self._spec = spec
        self._counts = _Usage()
        self._stopped = False

    @property
    def over(self) -> bool:
        """Whether all that is wanted has come."""
        return self._stopped

    @property
    def finished(self) -> bool:
        """Whether what marks a complete answer has come."""
        return self._stopped or self.transcript.finish is not None

    def take(self, event: Event) -> None:
        """Take the next event. Those of unknown types are left alone, as the dialect asks."""
        told = _events.decode(event.data)
        if told.type == "error":
            raise reported(self._spec, read_complaint(event.data) or Complaint())
        if told.type == "message_start" and told.message is not None:
            self.transcript.served_model = told.message.model or ""
            self._count(told.message.usage, final=False)
        elif told.type == "content_block_start" and told.content_block is not None:
            self._hear(told.content_block)
        elif told.type == "content_block_delta" and told.delta is not None:
            self._hear(told.delta)
        elif told.type == "message_delta":
            self._finish(told)
        elif told.type == "message_stop":
            self._stopped = True

    def _hear(self, delta: _Delta) -> None:
        if delta.type in {"text", "text_delta"}:
            self.transcript.say(delta.text or "")
        elif delta.type in {"thinking", "thinking_delta"}:
            self.transcript.think(delta.thinking or "")

    def _finish(self, told: _Event) -> None:
        reason = told.delta.stop_reason if told.delta is not None else None
        if reason:
            self.transcript.finish = _FINISHES.get(reason, FinishReason.UNSPECIFIED)
            self.transcript.refused = reason == "refusal"
        self._count(told.usage, final=reason is not None)

    def _count(self, raw: msgspec.Raw, *, final: bool) -> None:
        """Take counts; each is the sum so far, and one that is not named again stays as it was."""
        if bytes(raw) in {b"", b"null"}:
            return
        try:
            news = _usages.decode(raw)
        except msgspec.DecodeError:
            self.transcript.report(None, final=final)
            return
        for name in news.__struct_fields__:
            if (value := getattr(news, name)) is not None:
                setattr(self._counts, name, value)
        self.transcript.report(self._usage(), final=final)

    def _usage(self) -> Usage | None:
        counts = self._counts
        read, written = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
        fresh = counts.input_tokens or 0
        if min(read, written, fresh) < 0:
            return None
        details = counts.output_tokens_details
        return Usage(
            input_tokens=fresh + read + written,
            output_tokens=counts.output_tokens or 0,
            cached_input_tokens=read,
            reasoning_tokens=(details.thinking_tokens if details else None) or 0,
        )
