"""Understands the events of a chat-completions stream."""

from typing import Any, Final

import msgspec

from moa_server.domain.model import FinishReason, ModelSpec
from moa_server.domain.usage import Usage
from moa_server.providers.complaint import Complaint, complaint_of
from moa_server.providers.failures import reported
from moa_server.providers.openai_options import OpenAIOptions
from moa_server.providers.sse import Event
from moa_server.providers.transcript import Transcript


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: Any = None


class _Delta(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    thinking: str | None = None


class _Token(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


_ABSENT: Final = msgspec.Raw()


class _Chunk(msgspec.Struct):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None


_FINISHES: Final = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}

_chunks = msgspec.json.Decoder(_Chunk)
_usages = msgspec.json.Decoder(_Usage)
_anything = msgspec.json.Decoder()


class OpenAIListener:
    """One answer as it comes."""

    def __init__(self, spec: ModelSpec, options: OpenAIOptions, transcript: Transcript) -> None:
        self.transcript = transcript
        self._spec = spec
        self._options = options
        self._done = False

    @property
    def over(self) -> bool:
        """Whether all that is wanted has come."""
        if self._done or self.transcript.finish is None:
            return self._done
        wants_usage = self._options.usage_in_stream and not self.transcript.has_final_usage
        return not self._options.expects_done and not wants_usage

    @property
    def finished(self) -> bool:
        """Whether what marks a complete answer has come."""
        return self._done or (self.transcript.finish is not None and not self._options.expects_done)

    def take(self, event: Event) -> None:
        """Take the next event."""
        if event.data.strip() == b"[DONE]":
            self._done = True
            return
        chunk = _chunks.decode(event.data)
        if event.name == b"error" or _is_there(chunk.error):
            value = _anything.decode(event.data)
            raise reported(self._spec, complaint_of(value) or Complaint())
        if chunk.model and not self.transcript.served_model:
            self.transcript.served_model = chunk.model
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._choose(choice)
        if _is_there(chunk.usage):
            self.transcript.report(self._counts(chunk.usage), final=self.transcript.finish is not None)

    def _choose(self, choice: _Choice) -> None:
        if choice.delta is not None:
            self._hear(choice.delta)
        if choice.logprobs is not None:
            for token in choice.logprobs.content or ():
                self.transcript.weigh(token.logprob)
        if choice.finish_reason == "error":
            raise reported(self._spec, Complaint())
        if choice.finish_reason:
            self.transcript.finish = _FINISHES.get(choice.finish_reason, FinishReason.UNSPECIFIED)

    def _hear(self, delta: _Delta) -> None:
        if delta.refusal:
            self.transcript.refused = True
        for field in self._options.reasoning_fields:
            if thought := getattr(delta, field):
                self.transcript.think(thought)
                break
        if isinstance(delta.content, str):
            self.transcript.say(delta.content)
        elif delta.content:
            self._hear_parts(delta.content)

    def _hear_parts(self, parts: list[_Part]) -> None:
        for part in parts:
            if part.type == "text":
                self.transcript.say(part.text or "")
            elif part.type == "thinking":
                self.transcript.think(_words(part.thinking))

    def _counts(self, raw: msgspec.Raw) -> Usage | None:
        """Return the endpoint's counts, or None when they contradict themselves."""
        try:
            counts = _usages.decode(raw)
        except msgspec.DecodeError:
            return None
        inputs, outputs = counts.prompt_tokens_details, counts.completion_tokens_details
        thought = (outputs.reasoning_tokens if outputs else None) or 0
        written = self._written(counts, thought)
        if written is None:
            return None
        cached = (inputs.cached_tokens if inputs else None) or counts.prompt_cache_hit_tokens or 0
        return Usage(
            input_tokens=counts.prompt_tokens,
            output_tokens=written,
            cached_input_tokens=cached,
            reasoning_tokens=thought,
        )

    def _written(self, counts: _Usage, thought: int) -> int | None:
        """Return all tokens that were written; some endpoints leave reasoning out of all counts but the total."""
        if counts.total_tokens is None:
            return counts.completion_tokens
        apart = counts.total_tokens - counts.prompt_tokens - counts.completion_tokens
        if apart == 0 or (apart == thought and apart > 0):
            return counts.completion_tokens + apart
        if apart > 0 and not self._options.reasoning_in_completion:
            return counts.completion_tokens + apart
        return None


def _is_there(raw: msgspec.Raw) -> bool:
    return raw is not _ABSENT and bytes(raw) != b"null"


def _words(value: object) -> str:
    """Return all text in a part of reasoning, however deep."""
    if isinstance(value, list):
        return "".join(_words(item) for item in value)
    if isinstance(value, dict):
        return _words(value.get("text"))
    return value if isinstance(value, str) else ""
