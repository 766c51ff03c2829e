"""Puts together what an agent is shown, so that it fits the agent's model."""

from collections.abc import Sequence
from dataclasses import dataclass

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Conversation, Message, Part, Role
from moa_server.domain.errors import ModelWindowExceeded
from moa_server.domain.model import ModelSpec
from moa_server.domain.strategy import Call

CUT_MARK = " […]"
"""Stands where the rest of a reference was cut off."""
_TRIES = 6
"""Lengths that are tried for a cut; each one is nearer to the room than the one before it."""
_NO_IMAGE = "[an image that this model cannot see]"


@dataclass(frozen=True, slots=True)
class Shown:
    """What an agent is shown."""

    messages: Conversation
    trimmed: tuple[str, ...] = ()
    """The agents whose proposals were cut to fit."""


def show(call: Call, conversation: Conversation, spec: ModelSpec, room: int) -> Shown:
    """Return the messages for a call, references cut fairly so that they take no more than ``room`` estimated tokens.

    Raises:
        ModelWindowExceeded: not even short references fit beside the conversation.
    """
    asked = _seen_by(spec, _instructed(call.agent, call.messages or conversation))
    texts = tuple(proposal.text for proposal in call.shown)
    full = call.brief(asked, texts)
    if tokens.of_call(full, call.response_schema, spec.counted_by) <= room:
        return Shown(full)
    bare = tokens.of_call(call.brief(asked, ("",) * len(texts)), call.response_schema, spec.counted_by)
    sizes = [tokens.of_text(text, spec.counted_by) for text in texts]
    cut = fair_shares(sizes, room - bare)
    if not texts or any(share < min(size, call.least_shown) for share, size in zip(cut, sizes, strict=True)):
        raise ModelWindowExceeded(f"the prompt of {call.agent.name} does not fit the window of {spec.name}")
    fitted = tuple(cut_to(text, share, spec.counted_by) for text, share in zip(texts, cut, strict=True))
    trimmed = tuple(proposal.agent for proposal, text in zip(call.shown, fitted, strict=True) if text != proposal.text)
    return Shown(call.brief(asked, fitted), trimmed)


def fair_shares(sizes: Sequence[int], room: int) -> list[int]:
    """Return how much each may have: the short ones whole, the long ones all the same."""
    shares = [0] * len(sizes)
    waiting = sorted(range(len(sizes)), key=lambda place: sizes[place])
    for done, place in enumerate(waiting):
        equal = max(room, 0) // (len(waiting) - done)
        shares[place] = sizes[place] if sizes[place] <= equal else max(equal, 0)
        room -= shares[place]
    return shares


def cut_to(text: str, room: int, tokenizer: tokens.Tokenizer | None = None) -> str:
    """Return as much of a text as fits into so many tokens, between characters, and marked where it was cut."""
    size = tokens.of_text(text, tokenizer)
    if size <= room:
        return text
    fits, kept, end = "", 0, len(text)
    # By rule of three, first down to what fits, then up a little where the beginning is lighter than the rest.
    for _ in range(_TRIES):
        end = min(max(int(end * room / size), kept), len(text) - 1)
        cut = text[:end].rstrip() + CUT_MARK
        size = max(tokens.of_text(cut, tokenizer), 1)
        if size <= room and end > kept:
            fits, kept = cut, end
    return fits or CUT_MARK


def _instructed(agent: Agent, messages: Conversation) -> Conversation:
    if not agent.instructions:
        return messages
    if messages and messages[0].role is Role.SYSTEM:
        return (Message(Role.SYSTEM, (Part(agent.instructions + "\n\n"), *messages[0].parts)), *messages[1:])
    return (Message.of(Role.SYSTEM, agent.instructions), *messages)


def _seen_by(spec: ModelSpec, messages: Conversation) -> Conversation:
    if spec.images or not any(part.image for message in messages for part in message.parts):
        return messages
    return tuple(
        Message(message.role, tuple(Part(_NO_IMAGE) if part.image else part for part in message.parts))
        for message in messages
    )
