"""Tells a model in words which JSON Schema its answer has to satisfy, where its endpoint does not hold it to one."""

from typing import Final

from moa_server.domain.conversation import Conversation, Message, Role

_INSTRUCTION: Final = "Answer with one JSON document that satisfies this JSON Schema, and with nothing beside it:\n"
"""Endpoints that only see to it that JSON comes want to find that word."""


def instructed(messages: Conversation, schema: str) -> Conversation:
    """Return a conversation in which the schema stands in the instructions, at the end of the system's first words.

    Some endpoints take one system message only, and it has to be the first.
    """
    said, opening = _INSTRUCTION + schema, 0
    while opening < len(messages) and messages[opening].role is Role.SYSTEM:
        opening += 1
    if not opening:
        return (Message.of(Role.SYSTEM, said), *messages)
    return (*messages[: opening - 1], messages[opening - 1].with_text("\n\n" + said), *messages[opening:])
