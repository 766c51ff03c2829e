"""Finds out which parameter of a request an endpoint refuses, so that it can be asked once more without.

An endpoint names it beside its message, or it has a message of a known form. A form is looked for at a message's
beginning alone: messages quote what they complain of, and so a prompt could tell the house what to leave out for all
others. One that stands word for word in the prompt is believed for its own call, and for no other.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final

from moa_server.domain.agent import Sampling
from moa_server.domain.errors import ModelError, ModelRejectedRequest, RefusalReach
from moa_server.domain.model import Prompt
from moa_server.providers.complaint import Complaint, read_complaint

_NAME: Final = r"[`'\"]?(?P<name>[a-z][a-z0-9_.\[\]-]{0,63})[`'\"]?(?![\w`'\"])"
_OTHER: Final = _NAME.replace("name", "other")
_NOT_THERE: Final = (
    rf"(?:the )?(?:parameter |property |field |setting )?{_NAME}(?: parameter)? (?:is|are) (?:unsupported|deprecated|"
    r"no longer supported|not (?:yet |currently )?(?:supported|enabled|allowed|permitted|available))"
)
_LACKS: Final = (
    rf"[\w ./:()+-]{{1,160}}? (?:does not|do not|doesn't|don't) support (?:the )?(?:parameters?:? )?[\[({{]?{_NAME}"
)
_UNKNOWN_TO_IT: Final = (
    rf"unsupported (?:parameter|argument|field)s?: {_NAME}",
    rf"unsupported value: {_NAME} does not support .{{1,60}}? with this model\. only the default",
    rf"unrecognized request arguments? supplied: {_NAME}",
    rf"(?:invalid json payload received\. )?unknown (?:parameter|argument|field|name)s?:? {_NAME}",
    rf"argument not supported on this model: {_NAME}",
    rf"you are not allowed to request {_NAME}",
    rf"{_NOT_THERE}(?! (?:when|while|if|unless|together|in combination))",
    rf"{_LACKS}(?!=)",
    rf"{_LACKS}=\S+ only (?P=name)=\S+ is supported",  # as LiteLLM says it of temperature, which then is fixed
    rf"(?:body -> )?{_NAME}(?::|\n) *extra inputs are not permitted",
    rf"\[\{{'type': 'extra_forbidden', 'loc': \('body', {_NAME}\)",
)
"""How messages begin that say that a model or an endpoint does not have a parameter, in lower case."""
_NOT_SO: Final = (
    rf"unsupported value: {_NAME}",
    _NOT_THERE,
    _LACKS,
    rf"[\w ./:()+-]{{1,160}}? only supports {_NAME}[^.]{{0,160}} when ",
    rf"{_OTHER} and {_NAME} cannot both be specified",  # the second goes: temperature is what people set
    rf"{_NAME}: ",
    rf"{_NAME} (?:may only|must|should|can only|cannot) be ",
    rf"\[\{{'type': '[a-z_]+', 'loc': \('body', {_NAME}\)",
)
"""How messages begin that say that it does not take this value of one, or not beside the others."""
_FORMS: Final = (
    *((re.compile(form), RefusalReach.MODEL) for form in _UNKNOWN_TO_IT),
    *((re.compile(form), RefusalReach.SETTINGS) for form in _NOT_SO),
)
_RELAYED: Final = re.compile(
    r"(?:litellm\.\w+: |\w+exception - |error from provider \([\w ]+\): |the model returned the following errors: |"
    r"unable to submit request because )*"
)
"""What gateways put before the message of the endpoint behind them."""
_FURTHER: Final = re.compile(r"[a-z][a-z0-9_.]*")
_LIST: Final = re.compile(r"(?:[`'\"]?, [`'\"]?[a-z][a-z0-9_.]*)*")
"""What may follow the first name of several."""
_CODES: Final = frozenset({"unsupported_parameter", "unknown_parameter", "extra_forbidden", "invalid_parameter_name"})
"""Codes that say, beside a name, that a model does not take a parameter, whatever its value."""
_STATUSES: Final = ("400", "422")
_DEEPEST: Final = 3
"""How many gateways may have wrapped a complaint in one of their own."""

_OF_PENALTIES: Final = ("presence_penalty", "frequency_penalty")
_LEARNABLE: Final = ("logprobs", *(one.name for one in fields(Sampling)))


def _squeezed(name: str) -> str:
    """Return a name as it is compared: some write ``presencePenalty`` or ``stop_sequences.0``."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[.\[]\d+\]?$", "", name.lower()))


_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    **{_squeezed(name): (name,) for name in _LEARNABLE},
    "penalty": _OF_PENALTIES,  # Google names both of them so
    "penalties": _OF_PENALTIES,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, as far as a complaint about it has to be understood."""

    prompt: Prompt
    words: Mapping[str, str]
    """The dialect's own words for what the house calls otherwise."""
    changes_without: Callable[[str], bool]
    """Whether another request would be sent if that were left out."""


def note_refused(error: ModelError, body: bytes, question: Question) -> None:
    """Note in an error which parameter the endpoint refuses, if it is one that the question has and can do without."""
    refused = isinstance(error, ModelRejectedRequest) and error.metadata.get("status") in _STATUSES
    complaint = read_complaint(body) if refused else None
    if complaint is not None:
        error.parameter, error.reach = next(_refused(complaint, question), ("", RefusalReach.CALL))


def _refused(complaint: Complaint, question: Question) -> Iterator[tuple[str, RefusalReach]]:
    words = {_squeezed(theirs): (ours,) for theirs, ours in question.words.items()}
    # Each is looked at once: to look takes time by the prompt's length, and an endpoint may name hundreds.
    unchanged = set(_LEARNABLE) - question.prompt.parameters
    for name, reach in _named(complaint, question.prompt, _DEEPEST):
        for parameter in words.get(_squeezed(name)) or _KNOWN.get(_squeezed(name), ()):
            # A limit on the output is sent under its other name only if this one is what is wrong, not its value.
            if parameter == "max_tokens" and reach is RefusalReach.SETTINGS:
                continue
            if parameter in unchanged:
                continue
            if question.changes_without(parameter):
                yield parameter, reach
            unchanged.add(parameter)


def _named(complaint: Complaint, prompt: Prompt, depth: int) -> Iterator[tuple[str, RefusalReach]]:
    """Yield what a complaint names, in the endpoint's words, what is surest first."""
    begun = _RELAYED.match(complaint.words)
    words = complaint.words[begun.end() :].strip() if begun else complaint.words
    found = next(((match, reach) for form, reach in _FORMS if (match := form.match(words))), None)
    in_message = found[1] if found else RefusalReach.SETTINGS
    for name in complaint.params:
        yield name, RefusalReach.MODEL if complaint.code in _CODES else in_message
    if found:
        match, reach = found
        reach = RefusalReach.CALL if _stands_in(prompt, match[0]) else reach
        listed = _LIST.match(words, match.end("name"))
        for name in (match["name"], *(_FURTHER.findall(listed[0]) if listed else ())):
            yield name, reach
    if depth and (inner := _relayed(words)) is not None:
        of_call = _stands_in(prompt, inner)
        for name, reach in _named(read_complaint(inner.encode()) or Complaint(), prompt, depth - 1):
            yield name, RefusalReach.CALL if of_call else reach


def _relayed(words: str) -> str | None:
    """Return the JSON that a gateway has made its message of, in which the endpoint behind it complained."""
    text = words.removeprefix("b'").removeprefix('b"')
    if not text.startswith("{"):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return text[:end]


def _stands_in(prompt: Prompt, words: str) -> bool:
    """Tell whether words stand in what was sent, so that they may be quoted from there."""
    sent = (*(message.text for message in prompt.messages), prompt.response_schema or "", *prompt.sampling.stop)
    return any(words in text.lower() for text in sent)
