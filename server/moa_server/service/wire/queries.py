"""Reads a query from the wire: its conversation, and what the caller changes about a mixture."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import orjson
from google.protobuf.duration_pb2 import Duration

from moa.v1 import plan_pb2 as pb
from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.conversation import Conversation, Image, Message, Part, Role
from moa_server.domain.errors import InvalidRequest, Violation
from moa_server.domain.limits import Limits
from moa_server.domain.query import Overrides
from moa_server.domain.usage import Budget

_ROLES: Final = {pb.Role.Value(f"ROLE_{role.name}"): role for role in Role}
_EFFORTS: Final = {pb.ReasoningEffort.Value(f"REASONING_EFFORT_{effort.name}"): effort for effort in ReasoningEffort}
_MOST_VIOLATIONS: Final = 64
_MOST_SCHEMA_BYTES: Final = 64 * 1024
_MOST_STOPS: Final = 4
_MOST_STOP_CHARACTERS: Final = 256
_MOST_NAME_CHARACTERS: Final = 128
_SMALLEST: Final = 5e-324
_CENTURY_S: Final = 36_525 * 86_400.0
"""The longest length of time that is taken for one."""


class Violations:
    """What is wrong with a request, field by field, so that a caller hears of all of it at once."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Note that a field breaks a rule. Beyond a number nobody would read, nothing more is noted."""
        if len(self._found) < _MOST_VIOLATIONS:
            self._found.append(Violation(field, description))

    def check(self, holds: bool, field: str, description: str) -> bool:  # noqa: FBT001 - reads as a sentence
        """Note that a field breaks a rule unless the rule holds, and return whether it does."""
        if not holds:
            self.add(field, description)
        return holds

    def check_range(self, value: float | None, field: str, least: float, most: float) -> None:
        """Note a number that is given and out of its range, or no number at all."""
        if value is not None:
            fits = math.isfinite(value) and least <= value <= most
            self.check(fits, field, f"is {value:g}; it must be from {least:g} to {most:g}")

    def raise_any(self) -> None:
        """Refuse the request if anything is wrong with it.

        Raises:
            InvalidRequest: something is.
        """
        if not self._found:
            return
        first, more = self._found[0], len(self._found) - 1
        raise InvalidRequest(
            f"{first.field} {first.description}" + (f", and {more} more" if more else ""),
            metadata={"field": first.field},
            violations=tuple(self._found),
        )


def read_conversation(
    messages: Sequence[pb.Message], field: str, limits: Limits, violations: Violations
) -> Conversation:
    """Return a conversation, and note what is wrong with it."""
    if not messages:
        violations.add(field, "is empty; it must end with a message of the user")
        return ()
    if len(messages) > limits.messages:
        violations.add(field, f"has {len(messages)} messages; it may have {limits.messages}")
        return ()
    read = tuple(
        _read_message(message, f"{field}[{place}]", place, limits, violations) for place, message in enumerate(messages)
    )
    if messages[-1].role != pb.ROLE_USER:
        violations.add(f"{field}[{len(messages) - 1}].role", "is not ROLE_USER; the last message must be the user's")
    return read


def _read_message(message: pb.Message, field: str, place: int, limits: Limits, violations: Violations) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        violations.add(f"{field}.role", "is not given; it must be ROLE_SYSTEM, ROLE_USER or ROLE_ASSISTANT")
    if role is Role.SYSTEM and place:
        violations.add(f"{field}.role", "is ROLE_SYSTEM; only the first message may be")
    if message.ByteSize() > limits.message_size:
        violations.add(field, f"has {message.ByteSize()} bytes; it may have {limits.message_size}")
        return Message(role or Role.USER, ())
    if not message.parts:
        violations.add(f"{field}.parts", "is empty; a message has at least one part")
    return Message(role or Role.USER, tuple(_read_parts(message.parts, f"{field}.parts", violations)))


def _read_parts(parts: Iterable[pb.Part], field: str, violations: Violations) -> Iterable[Part]:
    for place, part in enumerate(parts):
        match part.WhichOneof("content"):
            case "text":
                violations.check(part.text != "", f"{field}[{place}].text", "is empty; leave the part out")
                yield Part(part.text)
            case "image":
                path, kind, data = f"{field}[{place}].image", part.image.media_type, part.image.data
                # It becomes part of a data URL as it is.
                is_image = kind.startswith("image/") and kind.isascii() and kind.isprintable()
                violations.check(is_image, f"{path}.media_type", "is no media type of an image, such as image/png")
                violations.check(bool(data), f"{path}.data", "is empty")
                yield Part(image=Image(kind, data))
            case _:
                violations.add(f"{field}[{place}]", "holds nothing; set text or image")


def read_overrides(overrides: pb.Overrides, field: str, limits: Limits, violations: Violations) -> Overrides:
    """Return the overrides, and note what is wrong with them."""
    return Overrides(
        sampling=_read_sampling(overrides.sampling, f"{field}.sampling", violations),
        layers=_read_layers(overrides.layers, f"{field}.layers", limits, violations),
        aggregator=read_name(overrides.aggregator, f"{field}.aggregator", violations),
        budget=_read_budget(overrides.budget, f"{field}.budget", violations),
        response_schema=_read_schema(overrides.response_schema, f"{field}.response_schema", violations),
        seed=overrides.seed if overrides.HasField("seed") else None,
    )


def read_name(name: str, field: str, violations: Violations) -> str:
    """Return a name of something configured, and note if it cannot be one."""
    fits = len(name) <= _MOST_NAME_CHARACTERS and (name.isprintable() or not name)
    violations.check(
        fits, field, f"is no name: it has more than {_MOST_NAME_CHARACTERS} characters, or unprintable ones"
    )
    return name if fits else ""


def read_duration(duration: Duration, field: str, violations: Violations) -> float:
    """Return a length of time in seconds, and note if it is negative or no length at all."""
    seconds = duration.seconds + duration.nanos / 1e9
    fits = 0 <= seconds <= _CENTURY_S and abs(duration.nanos) < 10**9 and duration.nanos >= 0
    violations.check(fits, field, "is negative or out of range; it must be a length of time")
    return seconds if fits else 0.0


def _read_sampling(sampling: pb.Sampling, field: str, violations: Violations) -> Sampling:
    def given(name: str) -> bool:
        return sampling.HasField(name)  # type: ignore[arg-type]  # one of its own names

    read = Sampling(
        temperature=sampling.temperature if given("temperature") else None,
        top_p=sampling.top_p if given("top_p") else None,
        max_tokens=sampling.max_tokens if given("max_tokens") else None,
        seed=sampling.seed if given("seed") else None,
        stop=tuple(sampling.stop),
        presence_penalty=sampling.presence_penalty if given("presence_penalty") else None,
        frequency_penalty=sampling.frequency_penalty if given("frequency_penalty") else None,
        reasoning_effort=_EFFORTS.get(sampling.reasoning_effort),
        reasoning_tokens=sampling.reasoning_tokens if given("reasoning_tokens") else None,
    )
    violations.check_range(read.temperature, f"{field}.temperature", 0, 2)
    if read.top_p is not None:
        violations.check(_SMALLEST <= read.top_p <= 1, f"{field}.top_p", "must be above 0 and at most 1")
    if read.max_tokens is not None:
        least = f"is {read.max_tokens}; it must be at least 1"
        violations.check(read.max_tokens >= 1, f"{field}.max_tokens", least)
    knows_effort = sampling.reasoning_effort in {pb.REASONING_EFFORT_UNSPECIFIED, *_EFFORTS}
    violations.check(knows_effort, f"{field}.reasoning_effort", "is no effort that this server knows")
    if read.reasoning_tokens is not None:
        least = f"is {read.reasoning_tokens}; it must be at least 1"
        violations.check(read.reasoning_tokens >= 1, f"{field}.reasoning_tokens", least)
        none_left = read.max_tokens is not None and read.reasoning_tokens >= read.max_tokens
        violations.check(
            not none_left, f"{field}.reasoning_tokens", "must be less than max_tokens, as which they count"
        )
    violations.check_range(read.presence_penalty, f"{field}.presence_penalty", -2, 2)
    violations.check_range(read.frequency_penalty, f"{field}.frequency_penalty", -2, 2)
    if violations.check(len(read.stop) <= _MOST_STOPS, f"{field}.stop", f"has more than {_MOST_STOPS} texts"):
        for place, stop in enumerate(read.stop):
            fits = 0 < len(stop) <= _MOST_STOP_CHARACTERS
            violations.check(fits, f"{field}.stop[{place}]", f"must have from 1 to {_MOST_STOP_CHARACTERS} characters")
    return read


def _read_layers(
    layers: Sequence[pb.LayerOverride], field: str, limits: Limits, violations: Violations
) -> tuple[tuple[str, ...], ...]:
    too_many = f"has {len(layers)} layers; with the answering one it may have {limits.layers}"
    if not violations.check(len(layers) < limits.layers, field, too_many):
        return ()
    return tuple(
        _read_agents(layer.agents, f"{field}[{place}].agents", limits.agents_per_layer, violations)
        for place, layer in enumerate(layers)
    )


def _read_agents(agents: Sequence[str], field: str, most: int, violations: Violations) -> tuple[str, ...]:
    if not violations.check(0 < len(agents) <= most, field, f"has {len(agents)} agents; a layer has from 1 to {most}"):
        return ()
    for place, agent in enumerate(agents):
        violations.check(agent != "", f"{field}[{place}]", "is empty; name an agent")
    return tuple(read_name(agent, f"{field}[{place}]", violations) for place, agent in enumerate(agents))


def _read_budget(budget: pb.Budget, field: str, violations: Violations) -> Budget:
    calls = budget.calls if budget.HasField("calls") else None
    tokens = budget.tokens if budget.HasField("tokens") else None
    cost = budget.cost_nanousd if budget.HasField("cost_nanousd") else None
    time_s = read_duration(budget.time, f"{field}.time", violations) if budget.HasField("time") else None
    for name, value in (("calls", calls), ("tokens", tokens), ("cost_nanousd", cost)):
        if value is not None:
            violations.check(value >= 0, f"{field}.{name}", f"is {value}; it must not be negative")
    return Budget(calls, tokens, cost, time_s)


def _read_schema(text: str, field: str, violations: Violations) -> str | None:
    """Return a schema that is an object in JSON; what it says is for those to judge who hold answers to it."""
    if not text:
        return None
    if len(text) > _MOST_SCHEMA_BYTES:
        violations.add(field, f"has {len(text)} characters; it may have {_MOST_SCHEMA_BYTES}")
        return None
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError:
        violations.add(field, "is not JSON; it must be a JSON Schema")
        return None
    violations.check(isinstance(schema, dict), field, "is no JSON object; it must be a JSON Schema")
    return text
