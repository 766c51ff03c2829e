"""Everything that a prompt can ask of an endpoint, one thing at a time and all at once."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import msgspec

from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Image, Message, Part, Role
from moa_server.domain.model import Prompt

_SAID: Final[Mapping[str, Any]] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 100,
    "seed": 7,
    "stop": ["END", "STOP"],
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "reasoning_effort": "low",
    "reasoning_tokens": 2048,
}
"""A value for each field of `Sampling`."""
SAMPLINGS: Final[Mapping[str, Sampling]] = {
    field.name: msgspec.convert({field.name: _SAID[field.name]}, Sampling) for field in fields(Sampling)
}
"""By the one field that is said."""

CLOSED: Final = (
    '{"type":"object","properties":{"city":{"type":"string"},"people":{"type":"integer"}},'
    '"required":["city","people"],"additionalProperties":false}'
)
"""A schema that qualifies for every strict mode."""
OPEN: Final = (
    '{"$defs":{"Place":{"properties":{"name":{"maxLength":40,"minLength":1,"title":"Name","type":"string"},'
    '"height":{"anyOf":[{"type":"number","minimum":0},{"type":"null"}],"default":null,"title":"Height"}},'
    '"required":["name"],"title":"Place","type":"object"}},'
    '"properties":{"place":{"$ref":"#/$defs/Place"},'
    '"tags":{"default":[],"items":{"type":"string"},"maxItems":3,"title":"Tags","type":"array"}},'
    '"required":["place"],"title":"Answer","type":"object"}'
)
"""A schema as pydantic writes it: open objects, defaults, limits."""

_HELLO: Final = (Message.of(Role.USER, "Hello there"),)
_TALK: Final = (
    Message.of(Role.SYSTEM, "Be brief."),
    Message.of(Role.USER, "Hello there"),
    Message.of(Role.ASSISTANT, "Good morning."),
    Message.of(Role.USER, "And to whom?"),
)
_PICTURE: Final = (Message(Role.USER, (Part("What is this?"), Part(image=Image("image/png", b"\x89PNG")))),)

PROMPTS: Final[Mapping[str, Prompt]] = {
    "plain": Prompt(_HELLO),
    **{name: Prompt(_HELLO, sampling) for name, sampling in SAMPLINGS.items()},
    "turns": Prompt(_TALK),
    "picture": Prompt(_PICTURE),
    "closed schema": Prompt(_HELLO, response_schema=CLOSED),
    "open schema": Prompt(_HELLO, response_schema=OPEN),
    "logprobs": Prompt(_HELLO, logprobs=True),
    "everything": Prompt(_TALK, msgspec.convert(dict(_SAID), Sampling), response_schema=OPEN, logprobs=True),
}
