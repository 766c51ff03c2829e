"""Responses, the later dialect of OpenAI, and the only one of some of its models: its options, its request, its answer.

Nothing is kept at the endpoint, and no tools are offered.
"""

from collections.abc import Mapping
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
from moa_server.providers.reasoning import ReasoningFilter
from moa_server.providers.schema_instruction import instructed
from moa_server.providers.sse import ServerSentEvent
from moa_server.providers.strict_schema import SchemaOptions
from moa_server.providers.transcript import Transcript


@dataclass(frozen=True, slots=True)
class ResponsesOptions(SchemaOptions):
    """The settings of a model under ``dialect``."""

    path: str = "/responses"
    system_role: Literal["system", "developer"] = "developer"
    """What it calls the role of system messages."""
    sends_sampling: bool = True
    """Whether it takes temperature and top_p."""
    strict_limits: bool = True
    efforts: tuple[Effort, ...] = USUAL_EFFORTS
    """The steps of reasoning_effort that it knows; for any other the nearest is sent, and without steps nothing."""


def responses_takes(options: ResponsesOptions, sampling: Sampling) -> Taken:
    """Return what is sent of settings: what Responses has a word for."""
    silent = ("seed", "stop", "presence_penalty", "frequency_penalty")
    unsent = dict.fromkeys(silent, "its dialect has no word for it") | unsaid_reasoning(options.efforts)
    if not options.sends_sampling:
        unsent |= dict.fromkeys(("temperature", "top_p"), "its dialect has sends_sampling off")
    return taken_but(sampling, unsent)


def responses_body(spec: ModelSpec, options: ResponsesOptions, prompt: Prompt) -> bytes:
    """Return the request's JSON. Settings for which the dialect has no word are left out."""
    sampling, effort = prompt.sampling, prompt.sampling.reasoning_effort
    step = nearest(effort, options.efforts) if effort else None
    messages = prompt.messages
    text_format: dict[str, Any] | None = None
    if prompt.response_schema is not None:
        if (named := options.named(prompt.response_schema)) is not None:
            text_format = {"type": "json_schema", **named}
        else:
            messages = instructed(messages, prompt.response_schema)
            text_format = {"type": "json_object"} if options.wants_object(prompt.response_schema) else None
    wanted = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "reasoning": {"effort": step} if step else None,
        "text": None if text_format is None else {"format": text_format},
    }
    body: dict[str, Any] = {
        "model": spec.upstream_model,
        "input": [_item(message, options) for message in messages],
        "max_output_tokens": prompt.most_output(spec),
        "store": False,
        **{name: value for name, value in wanted.items() if value is not None},
    }
    # What is listened for comes last: nothing that the operator adds can change it.
    return msgspec.json.encode({**body, **options.body, "stream": options.stream})


def _item(message: Message, options: ResponsesOptions) -> Mapping[str, Any]:
    role = options.system_role if message.role is Role.SYSTEM else message.role.value
    if not message.images:
        return {"role": role, "content": message.text}
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if part.image is not None:
            parts.append({"type": "input_image", "image_url": part.image.data_url, "detail": "auto"})
        elif part.text:
            parts.append({"type": "input_text", "text": part.text})
    return {"role": role, "content": parts}


_ABSENT: Final = (b"", b"null")


class _OutputPart(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _OutputItem(msgspec.Struct):
    type: str = ""
    content: list[_OutputPart] | None = None
    phase: str | None = None


class _IncompleteDetails(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    object: str = ""
    status: str | None = None
    model: str | None = None
    output: list[_OutputItem] | None = None
    error: msgspec.Raw = msgspec.Raw()
    incomplete_details: _IncompleteDetails | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    delta: Any = None
    """A text where this dialect listens; other events may have anything here."""
    output_index: int | None = None
    item: _OutputItem | None = None
    response: _Response | None = None
    error: msgspec.Raw = msgspec.Raw()


class _CachedInput(msgspec.Struct):
    cached_tokens: int | None = None


class _ReasonedOutput(msgspec.Struct):
    reasoning_tokens: int | None = None


class _ResponseUsage(msgspec.Struct):
    input_tokens: int
    output_tokens: int
    input_tokens_details: _CachedInput | None = None
    output_tokens_details: _ReasonedOutput | None = None


_REASONED: Final = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})
_REFUSED: Final = frozenset({"response.refusal.delta", "response.refusal.done"})
_TERMINAL: Final = frozenset({"response.completed", "response.incomplete"})
_CALLS: Final = frozenset(
    {
        "apply_patch_call",
        "computer_call",
        "custom_tool_call",
        "function_call",
        "local_shell_call",
        "mcp_approval_request",
    }
)
"""Items that want something of who asked; what the endpoint carries out itself is none of them."""
_FINISHES: Final = {
    "max_output_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "completed": FinishReason.STOP,
    "incomplete": FinishReason.OTHER,
}
"""By why an answer is incomplete, or else by its status."""

_events = msgspec.json.Decoder(_ResponseEvent)
_responses = msgspec.json.Decoder(_Response)
_usages = msgspec.json.Decoder(_ResponseUsage)


class ResponsesListener:
    """One answer as it comes."""

    def __init__(self, spec: ModelSpec, _: ResponsesOptions, prompt: Prompt) -> None:
        # Reasoning comes in items of its own, never between tags.
        self.transcript = Transcript(spec, prompt, ReasoningFilter(()))
        self._spec = spec
        self._asides: set[int | None] = set()
        """Messages on the way to the answer, which are no part of it, by their place in the output."""
        self._streamed = False
        """Whether the text came in pieces; the whole answer, which is told in the end, only says it again then."""
        self._stopped = False

    @property
    def over(self) -> bool:
        """Whether all that is wanted has come."""
        return self._stopped

    @property
    def finished(self) -> bool:
        """Whether what marks a complete answer has come."""
        return self._stopped

    def take(self, event: ServerSentEvent) -> None:
        """Take the next event. Those of unknown types are left alone: most only say again what others have said."""
        told = _events.decode(event.data)
        if told.type == "response.output_text.delta":
            self._streamed = True
            self._say(told.delta, is_aside=told.output_index in self._asides)
        elif told.type in _REASONED:
            self._say(told.delta, is_aside=True)
        elif told.type in _REFUSED:
            self.transcript.refused = True
        elif told.type == "response.output_item.added" and told.item is not None:
            self._begin(told.item, told.output_index)
        elif told.type == "response.output_item.done":
            self.transcript.end_reasoning()
        elif told.type == "error" or bytes(told.error) not in _ABSENT:
            raise reported(self._spec, read_complaint(event.data) or Complaint())
        elif told.response is not None:
            self._take_response(told.type, told.response)

    def take_whole(self, body: bytes) -> bool:
        """Take an answer that came in one piece."""
        response = _responses.decode(body)
        if response.object != "response":
            return False
        self._take_response("", response)
        self._end(response, response.status or "")
        return True

    def _begin(self, item: _OutputItem, place: int | None) -> None:
        if item.type in _CALLS:
            self.transcript.called_tool = True
        elif item.type == "reasoning":
            # Its text may be left out, or summed up now and then: it is reasoning until the item is done.
            self.transcript.begin_reasoning()
        elif item.phase == "commentary":
            self._asides.add(place)

    def _say(self, delta: object, *, is_aside: bool) -> None:
        take = self.transcript.think if is_aside else self.transcript.say
        take(delta if isinstance(delta, str) else "")

    def _take_response(self, kind: str, response: _Response) -> None:
        self.transcript.served_model = response.model or self.transcript.served_model
        status = response.status or kind.removeprefix("response.")
        if status in {"failed", "cancelled"}:
            raise reported(self._spec, read_complaint(bytes(response.error)) or Complaint())
        if kind in _TERMINAL:
            self._end(response, status)

    def _end(self, response: _Response, status: str) -> None:
        """Take the whole answer, as it is told in the end."""
        for place, item in enumerate(response.output or ()):
            self._take_item(item, place)
        reason = response.incomplete_details.reason if response.incomplete_details is not None else None
        if word := reason or status:
            self.transcript.stop(word, _FINISHES)
        if bytes(response.usage) not in _ABSENT:
            self.transcript.report(_read_usage(response.usage), final=True)
        self._stopped = True

    def _take_item(self, item: _OutputItem, place: int) -> None:
        """Take an item of the whole answer, of which only what has not been streamed is news."""
        if item.type in _CALLS or item.type == "reasoning":
            self._begin(item, place)
            self.transcript.end_reasoning()
        for part in item.content or () if item.type == "message" else ():
            if part.type == "refusal":
                self.transcript.refused = True
            elif part.type == "output_text" and not self._streamed:
                self._say(part.text, is_aside=item.phase == "commentary")


def _read_usage(raw: msgspec.Raw) -> Usage | None:
    """Return the endpoint's counts, or None when they are none."""
    try:
        counts = _usages.decode(raw)
    except msgspec.DecodeError:
        return None
    inputs, outputs = counts.input_tokens_details, counts.output_tokens_details
    return Usage(
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        cached_input_tokens=(inputs.cached_tokens if inputs else None) or 0,
        reasoning_tokens=(outputs.reasoning_tokens if outputs else None) or 0,
    )


RESPONSES: Final = Dialect(
    ResponsesOptions,
    responses_body,
    ResponsesListener,
    takes=responses_takes,
    words={
        "reasoning": "reasoning_effort",
        "reasoning.effort": "reasoning_effort",
        "max_output_tokens": "max_tokens",
    },
)
