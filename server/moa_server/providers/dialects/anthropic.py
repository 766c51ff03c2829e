"""Messages, the dialect of Anthropic: its options, its request, its answer."""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.model import FinishReason, ModelSpec, Prompt
from moa_server.domain.usage import Usage
from moa_server.providers.closed_schema import closed
from moa_server.providers.complaint import Complaint, read_complaint
from moa_server.providers.dialect import Dialect, EndpointOptions, Taken, taken_but
from moa_server.providers.effort import Effort, budget, nearest, unsaid_reasoning
from moa_server.providers.failures import reported
from moa_server.providers.reasoning import ReasoningFilter
from moa_server.providers.schema_instruction import instructed
from moa_server.providers.sse import ServerSentEvent
from moa_server.providers.transcript import Transcript


@dataclass(frozen=True, slots=True)
class AnthropicOptions(EndpointOptions):
    """The settings of a model under ``dialect``."""

    path: str = "/messages"
    key_header: str = "x-api-key"
    version: str = "2023-06-01"
    """Of the interface."""
    sends_sampling: bool = True
    """Whether it takes temperature and top_p."""
    both_samplings: bool = True
    """Whether it takes temperature and top_p in one request; else temperature alone is sent where both are set."""
    most_temperature: float = 2.0
    """Above it a temperature is not sent."""
    blank_stops: bool = True
    """Whether it takes stop sequences of nothing but white space."""
    schema: bool = True
    """Whether it can be held to a JSON schema; where it is not, the instructions tell of it."""
    thinking: Literal["adaptive", "budget"] = "adaptive"
    """How it is told to reason: by an effort, as current models are, or by a budget of tokens, as those before them."""
    efforts: tuple[Effort, ...] = ("low", "medium", "high", "max")
    """The efforts that it knows; for any other the nearest is sent. With none it is told not to think at all."""
    prompt_cache: bool = False
    """Whether the endpoint is asked to cache what stands before the last turn. Writing to its cache costs more:
    a price says how much as ``cache_write``."""


_CACHED: Final = {"cache_control": {"type": "ephemeral"}}


def anthropic_takes(options: AnthropicOptions, sampling: Sampling) -> Taken:
    """Return what is sent of settings: what the dialect has a word for, by the rules of the endpoint's house."""
    temperature, stop = sampling.temperature, sampling.stop
    unsent = dict.fromkeys(("seed", "presence_penalty", "frequency_penalty"), "its dialect has no word for it")
    if not options.sends_sampling:
        unsent |= dict.fromkeys(("temperature", "top_p"), "its dialect has sends_sampling off")
    elif _thinks(options, sampling):
        unsent |= dict.fromkeys(("temperature", "top_p"), "it takes neither while it thinks")
    elif temperature is not None and temperature > options.most_temperature:
        unsent["temperature"] = f"it takes one of at most {options.most_temperature:g}"
    elif temperature is not None and not options.both_samplings:
        unsent["top_p"] = "it takes one of temperature and top_p"
    if options.thinking == "adaptive":
        unsent |= unsaid_reasoning(options.efforts)
    taken = taken_but(sampling, unsent)
    kept = stop if options.blank_stops else tuple(text for text in stop if not text.isspace())
    if kept == stop:
        return taken
    return Taken(replace(taken.sampling, stop=kept), {**taken.unsent, "stop": "it takes none that is blank"})


def anthropic_body(spec: ModelSpec, options: AnthropicOptions, prompt: Prompt) -> bytes:
    """Return the request's JSON. Settings for which the dialect has no word are left out."""
    sampling = prompt.sampling
    wanted = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stop_sequences": sampling.stop or None,
        "thinking": _thinking(spec, options, prompt),
    }
    messages, form = prompt.messages, None
    if prompt.response_schema is not None:
        form = closed(prompt.response_schema, spec.counted_by) if options.schema else None
        messages = messages if form is not None else instructed(messages, prompt.response_schema)
    # System texts have a field of their own: there is no such role among the turns.
    system = [_text(message.text) for message in messages if message.role is Role.SYSTEM and message.text]
    turns = [_turn(message) for message in messages if message.role is not Role.SYSTEM]
    body: dict[str, Any] = {
        "model": spec.upstream_model,
        "max_tokens": prompt.most_output(spec),
        "messages": turns,
        **{name: value for name, value in wanted.items() if value is not None},
    }
    if system:
        body["system"] = system
    if options.prompt_cache:
        # A mark caches all that stands before it: so the end of the system texts bears one, and the turn before the
        # last, which is what changes from call to call.
        if system:
            system[-1].update(_CACHED)
        if len(turns) > 1:
            turns[-2]["content"][-1].update(_CACHED)
    config: dict[str, Any] = {}
    if (effort := _effort(options, prompt)) not in (None, "none"):
        config["effort"] = effort
    if form is not None:
        config["format"] = {"type": "json_schema", "schema": msgspec.Raw(form.encode())}
    body.update(options.body)
    if config:
        body["output_config"] = {**config, **options.body.get("output_config", {})}
    # What is listened for comes last: nothing that the operator adds can change it.
    return msgspec.json.encode({**body, "stream": options.stream})


_NOT_AT_ALL: Final = {"type": "disabled"}


def _thinking(spec: ModelSpec, options: AnthropicOptions, prompt: Prompt) -> dict[str, Any] | None:
    """Return how a model is told to think; None leaves it as it does by itself."""
    effort, most = prompt.sampling.reasoning_effort, prompt.sampling.reasoning_tokens
    if options.thinking == "budget":
        is_said = (effort, most) != (None, None)
        tokens = budget(effort, most, prompt.most_output(spec)) if is_said else None
        return None if tokens is None else {"type": "enabled", "budget_tokens": tokens}
    if _effort(options, prompt) == "none":
        return _NOT_AT_ALL
    # Who cannot be told not to think is told a low effort, and not that it should.
    return None if effort in (None, ReasoningEffort.NONE) or not options.efforts else {"type": "adaptive"}


def _thinks(options: AnthropicOptions, sampling: Sampling) -> bool:
    """Tell whether a model is told to think, and so picks its words in its own way."""
    effort = sampling.reasoning_effort
    if options.thinking == "adaptive":
        return bool(options.efforts) and effort not in (None, ReasoningEffort.NONE)
    return effort is not ReasoningEffort.NONE and (effort, sampling.reasoning_tokens) != (None, None)


def _effort(options: AnthropicOptions, prompt: Prompt) -> Effort | None:
    effort = prompt.sampling.reasoning_effort
    return nearest(effort, options.efforts) if effort and options.thinking == "adaptive" else None


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _turn(message: Message) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role.value, "content": [_text(message.text)]}
    blocks: list[dict[str, Any]] = []
    for part in message.parts:
        if part.image is not None:
            source = {"type": "base64", "media_type": part.image.media_type, "data": part.image.base64}
            blocks.append({"type": "image", "source": source})
        elif part.text:  # an empty text is refused
            blocks.append(_text(part.text))
    return {"role": message.role.value, "content": blocks}


class _OutputTokensDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _MessageUsage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputTokensDetails | None = None


class _MessageStart(msgspec.Struct):
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct):
    """A content block's beginning, a piece of one, or the end of a message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    """An answer in one piece."""

    type: str = ""
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _StreamEvent(msgspec.Struct):
    type: str
    message: _MessageStart | None = None
    content_block: _Block | None = None
    delta: _Block | None = None
    usage: msgspec.Raw = msgspec.Raw()


_FINISHES: Final = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
    "tool_use": FinishReason.OTHER,
}

_events = msgspec.json.Decoder(_StreamEvent)
_messages = msgspec.json.Decoder(_Message)
_usages = msgspec.json.Decoder(_MessageUsage)


class AnthropicListener:
    """One answer as it comes."""

    def __init__(self, spec: ModelSpec, _: AnthropicOptions, prompt: Prompt) -> None:
        # Thinking comes in blocks of its own, never between tags.
        self.transcript = Transcript(spec, prompt, ReasoningFilter(()))
        self._spec = spec
        self._counts = _MessageUsage()
        self._stopped = False

    @property
    def over(self) -> bool:
        """Whether all that is wanted has come."""
        return self._stopped

    @property
    def finished(self) -> bool:
        """Whether what marks a complete answer has come."""
        return self._stopped or self.transcript.finish is not None

    def take(self, event: ServerSentEvent) -> None:
        """Take the next event. Those of unknown types are left alone, as the dialect asks."""
        told = _events.decode(event.data)
        if told.type == "error":
            raise reported(self._spec, read_complaint(event.data) or Complaint())
        if told.type == "message_start" and told.message is not None:
            self.transcript.served_model = told.message.model or ""
            self._count(told.message.usage, final=False)
        elif told.type == "content_block_start" and told.content_block is not None:
            self._begin(told.content_block)
        elif told.type == "content_block_stop":
            self.transcript.end_reasoning()
        elif told.type == "content_block_delta" and told.delta is not None:
            self._hear(told.delta)
        elif told.type == "message_delta":
            reason = told.delta.stop_reason if told.delta is not None else None
            self._stop(reason)
            self._count(told.usage, final=reason is not None)
        elif told.type == "message_stop":
            self._stopped = True

    def take_whole(self, body: bytes) -> bool:
        """Take an answer that came in one piece."""
        message = _messages.decode(body)
        if message.type != "message":
            return False
        self.transcript.served_model = message.model or ""
        self._count(message.usage, final=True)
        for block in message.content or ():
            self._begin(block)
            self.transcript.end_reasoning()
        self._stop(message.stop_reason)
        self._stopped = True
        return True

    def _stop(self, reason: str | None) -> None:
        if reason:
            self.transcript.stop(reason, _FINISHES)
            self.transcript.refused = reason == "refusal"
            self.transcript.called_tool |= reason == "tool_use"

    def _begin(self, block: _Block) -> None:
        # Its text may be left out, or summed up now and then: it is thinking until the block ends.
        if block.type in {"thinking", "redacted_thinking"}:
            self.transcript.begin_reasoning()
        self._hear(block)

    def _hear(self, block: _Block) -> None:
        if block.type in {"text", "text_delta"}:
            self.transcript.say(block.text or "")
        elif block.type in {"thinking", "thinking_delta"}:
            self.transcript.think(block.thinking or "")
        elif block.type == "tool_use":
            self.transcript.called_tool = True

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
        counts = self._counts
        read, written = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
        fresh = counts.input_tokens or 0
        details = counts.output_tokens_details
        usage = Usage(
            input_tokens=fresh + read + written,  # what the cache had, or was given, is not among the input tokens
            output_tokens=counts.output_tokens or 0,
            cached_input_tokens=read,
            reasoning_tokens=(details.thinking_tokens if details else None) or 0,
            cache_write_tokens=written,
        )
        self.transcript.report(None if min(read, written, fresh) < 0 else usage, final=final)


ANTHROPIC: Final = Dialect(
    AnthropicOptions,
    anthropic_body,
    AnthropicListener,
    lambda options: {"anthropic-version": options.version, **options.headers},
    anthropic_takes,
    {
        "stop_sequences": "stop",
        "thinking": "reasoning_effort",
        "output_config.effort": "reasoning_effort",
        "thinking.enabled.budget_tokens": "reasoning_tokens",
    },
)
