"""Chat completions, the dialect of OpenAI and of most other endpoints: its options, its request, its answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.model import FinishReason, ModelSpec, Prompt
from moa_server.domain.usage import Usage
from moa_server.providers.complaint import Complaint, read_complaint
from moa_server.providers.dialect import Dialect, Taken, taken_but
from moa_server.providers.effort import USUAL_EFFORTS, Effort, nearest, unsaid_reasoning
from moa_server.providers.failures import reported
from moa_server.providers.reasoning import ReasoningFilter, Tags
from moa_server.providers.schema_instruction import instructed
from moa_server.providers.sse import ServerSentEvent
from moa_server.providers.strict_schema import SchemaOptions
from moa_server.providers.transcript import Transcript


@dataclass(frozen=True, slots=True)
class OpenAIOptions(SchemaOptions):
    """The settings of a model under ``dialect``: what differs between the endpoints that speak chat completions."""

    path: str = "/chat/completions"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What it calls the most tokens of an answer."""
    system_role: Literal["system", "developer"] = "system"
    """What it calls the role of system messages."""
    sends_sampling: bool = True
    """Whether it takes temperature and top_p."""
    sends_penalties: bool = True
    """Whether it takes presence_penalty and frequency_penalty."""
    sends_seed: bool = True
    """Whether it takes a seed."""
    seed_field: Literal["seed", "random_seed"] = "seed"
    """What it calls the seed."""
    sends_stop: bool = True
    """Whether it takes stop sequences."""
    usage_in_stream: bool = True
    """Whether usage is asked for in the stream."""
    reasoning_in_completion: bool = True
    """Whether its count of completion tokens holds the reasoning; else the total tells."""
    logprobs: bool = True
    """Whether it gives log-probabilities."""
    counts_logprobs: bool = False
    """Whether they are asked for by how many of the likeliest tokens are wanted, in place of true."""
    efforts: tuple[Effort, ...] = USUAL_EFFORTS
    """The steps of reasoning_effort that it knows; for any other the nearest is sent, and without steps nothing."""
    reasoning_fields: tuple[Literal["reasoning", "reasoning_content", "thinking"], ...] = (
        "reasoning",
        "reasoning_content",
    )
    """Where reasoning is that comes apart from the text; when it comes in several, the first counts."""
    think_tags: tuple[tuple[str, str], ...] = (("<think>", "</think>"),)
    """Between which text is reasoning."""
    begins_thinking: bool = False
    """Whether the opening tag is part of the prompt, so that only the closing one comes."""
    expects_done: bool = False
    """Whether ``[DONE]`` must come; else a finish reason will do."""

    def __post_init__(self) -> None:
        SchemaOptions.__post_init__(self)
        if not all(opening and closing for opening, closing in self.think_tags):
            raise ValueError("think_tags: a tag is empty")
        if self.begins_thinking and not self.think_tags:
            raise ValueError("begins_thinking: needs think_tags")


def openai_takes(options: OpenAIOptions, sampling: Sampling) -> Taken:
    """Return what is sent of settings, as the endpoint's options have it."""
    switches = (
        ("sends_sampling", options.sends_sampling, ("temperature", "top_p")),
        ("sends_penalties", options.sends_penalties, ("presence_penalty", "frequency_penalty")),
        ("sends_seed", options.sends_seed, ("seed",)),
        ("sends_stop", options.sends_stop, ("stop",)),
    )
    off = {name: f"its dialect has {switch} off" for switch, is_on, names in switches if not is_on for name in names}
    return taken_but(sampling, off | unsaid_reasoning(options.efforts))


def openai_body(spec: ModelSpec, options: OpenAIOptions, prompt: Prompt) -> bytes:
    """Return the request's JSON."""
    sampling, effort = prompt.sampling, prompt.sampling.reasoning_effort
    wanted = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        options.seed_field: sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop": sampling.stop or None,
        "reasoning_effort": nearest(effort, options.efforts) if effort else None,
    }
    messages = prompt.messages
    response_format: dict[str, Any] | None = None
    if prompt.response_schema is not None:
        if (named := options.named(prompt.response_schema)) is not None:
            response_format = {"type": "json_schema", "json_schema": named}
        else:
            messages = instructed(messages, prompt.response_schema)
            response_format = {"type": "json_object"} if options.wants_object(prompt.response_schema) else None
    body: dict[str, Any] = {
        "model": spec.upstream_model,
        "messages": [_message(message, options) for message in messages],
        _limit_field(options, prompt): prompt.most_output(spec),
        **{name: value for name, value in wanted.items() if value is not None},
    }
    if response_format is not None:
        body["response_format"] = response_format
    if prompt.logprobs and options.logprobs:
        body["logprobs"] = 1 if options.counts_logprobs else True
    body.update(options.body)
    # What is listened for comes after what the operator adds, which cannot change it.
    body["stream"] = options.stream
    body.pop("stream_options", None)
    if options.stream and options.usage_in_stream:
        body["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(body)


def _limit_field(options: OpenAIOptions, prompt: Prompt) -> str:
    """Return what the most tokens of an answer are called, which is the other word where this one was refused."""
    if "max_tokens" not in prompt.left_out:
        return options.max_tokens_field
    return "max_tokens" if options.max_tokens_field == "max_completion_tokens" else "max_completion_tokens"


def _message(message: Message, options: OpenAIOptions) -> Mapping[str, Any]:
    role = options.system_role if message.role is Role.SYSTEM else message.role.value
    # Many endpoints take a plain string only, so that parts are sent only where there is an image.
    if not message.images:
        return {"role": role, "content": message.text}
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if part.image is not None:
            parts.append({"type": "image_url", "image_url": {"url": part.image.data_url}})
        elif parts and parts[-1]["type"] == "text":  # texts that follow one another are one part
            parts[-1]["text"] += part.text
        elif part.text:
            parts.append({"type": "text", "text": part.text})
    return {"role": role, "content": parts}


class _ContentPart(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: Any = None


class _ChoiceDelta(msgspec.Struct):
    content: str | list[_ContentPart] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    thinking: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw()
    function_call: msgspec.Raw = msgspec.Raw()


class _TokenLogprob(msgspec.Struct):
    logprob: float


class _ChoiceLogprobs(msgspec.Struct):
    content: list[_TokenLogprob] | None = None
    token_logprobs: list[float | None] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _ChoiceDelta | None = None
    message: _ChoiceDelta | None = None
    """In place of the delta, where the answer is whole."""
    finish_reason: str | None = None
    logprobs: _ChoiceLogprobs | list[float | None] | float | None = None
    """In the dialect's own form, in that of plain completions, or bare."""


_ABSENT: Final = msgspec.Raw()
_NOTHING: Final = frozenset({b"", b"null", b"false", b'""', b"{}", b"[]"})
"""What some write where there is no error, and nothing called."""


class _CompletionChunk(msgspec.Struct):
    """A piece of an answer, or the whole."""

    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


class _PromptTokensDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionTokensDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _CompletionUsage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int | None = None
    prompt_tokens_details: _PromptTokensDetails | None = None
    completion_tokens_details: _CompletionTokensDetails | None = None
    prompt_cache_hit_tokens: int | None = None


_FINISHES: Final = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "function_call": FinishReason.OTHER,
    "tool_calls": FinishReason.OTHER,
    "tool_use": FinishReason.OTHER,
}
_TOOL_CALLS: Final = frozenset({"function_call", "tool_calls", "tool_use"})
_BROKE_OFF: Final = frozenset({"abort", "error", "insufficient_system_resource"})
"""Said where the endpoint could not go on, or a router's own upstream has failed: what came is cut in the middle."""

_chunks = msgspec.json.Decoder(_CompletionChunk)
_usages = msgspec.json.Decoder(_CompletionUsage)


class OpenAIListener:
    """One answer as it comes."""

    def __init__(self, spec: ModelSpec, options: OpenAIOptions, prompt: Prompt) -> None:
        tags = [Tags(*pair) for pair in options.think_tags]
        self.transcript = Transcript(spec, prompt, ReasoningFilter(tags, begins_inside=options.begins_thinking))
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

    def take(self, event: ServerSentEvent) -> None:
        """Take the next event."""
        if event.data.strip() == b"[DONE]":
            self._done = True
            return
        chunk = _chunks.decode(event.data)
        if event.name == b"error" or bytes(chunk.error) not in _NOTHING:
            raise reported(self._spec, read_complaint(event.data) or Complaint())
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._take_choice(choice, choice.delta)
        self._note(chunk, final=self.transcript.finish is not None)

    def take_whole(self, body: bytes) -> bool:
        """Take an answer that came in one piece."""
        completion = _chunks.decode(body)
        if bytes(completion.error) not in _NOTHING or not completion.choices:
            return False
        self._note(completion, final=True)
        self._take_choice(completion.choices[0], completion.choices[0].message)
        self._done = True
        return True

    def _note(self, chunk: _CompletionChunk, *, final: bool) -> None:
        """Take what is said of the answer beside it."""
        if chunk.model and not self.transcript.served_model:
            self.transcript.served_model = chunk.model
        if _is_there(chunk.usage):
            usage = _read_usage(chunk.usage, reasoning_in_completion=self._options.reasoning_in_completion)
            self.transcript.report(usage, final=final)

    def _take_choice(self, choice: _Choice, said: _ChoiceDelta | None) -> None:
        if said is not None:
            self._hear(said)
        for logprob in _logprobs_of(choice):
            self.transcript.weigh(logprob)
        if choice.finish_reason in _BROKE_OFF:
            raise reported(self._spec, Complaint())
        if choice.finish_reason in _TOOL_CALLS:
            self.transcript.called_tool = True
        if choice.finish_reason:
            self.transcript.stop(choice.finish_reason, _FINISHES)

    def _hear(self, delta: _ChoiceDelta) -> None:
        if delta.refusal:
            self.transcript.refused = True
        if not {bytes(delta.tool_calls), bytes(delta.function_call)} <= _NOTHING:
            self.transcript.called_tool = True
        for name in self._options.reasoning_fields:
            if thought := getattr(delta, name):
                self.transcript.think(thought)
                break  # endpoints that fill several fields say the same in each
        if isinstance(delta.content, str):
            self.transcript.say(delta.content)
            return
        for part in delta.content or ():
            if part.type == "text":
                self.transcript.say(part.text or "")
            elif part.type == "thinking":
                self.transcript.think(_words(part.thinking))


def _logprobs_of(choice: _Choice) -> Iterator[float]:
    """Yield the log-probability of each of its tokens; the first of a text may have none."""
    told = choice.logprobs
    if isinstance(told, _ChoiceLogprobs):
        yield from (token.logprob for token in told.content or ())
        told = None if told.content else told.token_logprobs
    for logprob in (told,) if isinstance(told, float) else told or ():
        if logprob is not None:
            yield logprob


def _read_usage(raw: msgspec.Raw, *, reasoning_in_completion: bool) -> Usage | None:
    """Return the endpoint's counts, or None when they contradict themselves."""
    try:
        counts = _usages.decode(raw)
    except msgspec.DecodeError:
        return None
    inputs, outputs = counts.prompt_tokens_details, counts.completion_tokens_details
    thought = (outputs.reasoning_tokens if outputs else None) or 0
    total = counts.prompt_tokens + counts.completion_tokens if counts.total_tokens is None else counts.total_tokens
    # Some endpoints leave reasoning out of all counts but the total; any other difference is a contradiction.
    apart = total - counts.prompt_tokens - counts.completion_tokens
    if apart and not (apart > 0 and (apart == thought or not reasoning_in_completion)):
        return None
    return Usage(
        input_tokens=counts.prompt_tokens,
        output_tokens=counts.completion_tokens + apart,
        cached_input_tokens=(inputs.cached_tokens if inputs else None) or counts.prompt_cache_hit_tokens or 0,
        reasoning_tokens=thought,
        cache_write_tokens=(inputs.cache_write_tokens if inputs else None) or 0,
    )


def _is_there(raw: msgspec.Raw) -> bool:
    return raw is not _ABSENT and bytes(raw) != b"null"


def _words(value: object) -> str:
    """Return all text in a part of reasoning, however deep."""
    if isinstance(value, list):
        return "".join(_words(item) for item in value)
    if isinstance(value, dict):
        return _words(value.get("text"))
    return value if isinstance(value, str) else ""


OPENAI: Final = Dialect(
    OpenAIOptions,
    openai_body,
    OpenAIListener,
    takes=openai_takes,
    words={"max_completion_tokens": "max_tokens", "random_seed": "seed", "top_logprobs": "logprobs"},
)
