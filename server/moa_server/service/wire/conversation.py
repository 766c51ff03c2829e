"""Reads a conversation from the wire."""

from collections.abc import Iterable, Sequence
from typing import Final

from moa.v1 import plan_pb2 as pb
from moa_server.domain.conversation import Conversation, Image, Message, Part, Role
from moa_server.domain.limits import Limits
from moa_server.service.wire.findings import Findings

_ROLES: Final = {pb.ROLE_SYSTEM: Role.SYSTEM, pb.ROLE_USER: Role.USER, pb.ROLE_ASSISTANT: Role.ASSISTANT}
_IMAGE_PREFIX: Final = "image/"


def read_conversation(messages: Sequence[pb.Message], field: str, limits: Limits, findings: Findings) -> Conversation:
    """Return a conversation, and note what is wrong with it."""
    if not messages:
        findings.add(field, "is empty; it must end with a message of the user")
        return ()
    if len(messages) > limits.messages:
        findings.add(field, f"has {len(messages)} messages; it may have {limits.messages}")
        return ()
    read = tuple(
        _message(message, f"{field}[{place}]", place, limits, findings) for place, message in enumerate(messages)
    )
    if messages[-1].role != pb.ROLE_USER:
        findings.add(f"{field}[{len(messages) - 1}].role", "is not ROLE_USER; the last message must be the user's")
    return read


def _message(message: pb.Message, field: str, place: int, limits: Limits, findings: Findings) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        findings.add(f"{field}.role", "is not given; it must be ROLE_SYSTEM, ROLE_USER or ROLE_ASSISTANT")
    if role is Role.SYSTEM and place:
        findings.add(f"{field}.role", "is ROLE_SYSTEM; only the first message may be")
    if message.ByteSize() > limits.message_size:
        findings.add(field, f"has {message.ByteSize()} bytes; it may have {limits.message_size}")
        return Message(role or Role.USER, ())
    if not message.parts:
        findings.add(f"{field}.parts", "is empty; a message has at least one part")
    return Message(role or Role.USER, tuple(_parts(message.parts, f"{field}.parts", findings)))


def _parts(parts: Iterable[pb.Part], field: str, findings: Findings) -> Iterable[Part]:
    for place, part in enumerate(parts):
        match part.WhichOneof("content"):
            case "text":
                findings.check(part.text != "", f"{field}[{place}].text", "is empty; leave the part out")
                yield Part(part.text)
            case "image":
                yield Part(image=_image(part.image, f"{field}[{place}].image", findings))
            case _:
                findings.add(f"{field}[{place}]", "holds nothing; set text or image")


def _image(image: pb.Image, field: str, findings: Findings) -> Image:
    is_image = (
        image.media_type.startswith(_IMAGE_PREFIX) and image.media_type.isascii() and image.media_type.isprintable()
    )
    findings.check(is_image, f"{field}.media_type", "is no media type of an image, such as image/png")
    findings.check(bool(image.data), f"{field}.data", "is empty")
    return Image(image.media_type, image.data)
