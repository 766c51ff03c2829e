"""What is said, and by whom."""

from base64 import b64encode
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who speaks in a conversation."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture inside a message."""

    media_type: str
    data: bytes

    @property
    def base64(self) -> str:
        """Its bytes as text."""
        return b64encode(self.data).decode()

    @property
    def data_url(self) -> str:
        """The whole of it as a URL."""
        return f"data:{self.media_type};base64,{self.base64}"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: text, or an image."""

    text: str = ""
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Role, text: str) -> "Message":
        """Return a turn that is one text."""
        return cls(role, (Part(text),))

    @property
    def text(self) -> str:
        """All its text, in order."""
        return "".join(part.text for part in self.parts)

    @property
    def images(self) -> tuple[Image, ...]:
        """All its images, in order."""
        return tuple(part.image for part in self.parts if part.image is not None)

    def with_text(self, text: str) -> "Message":
        """Return the same turn with a text said after it."""
        return Message(self.role, (*self.parts, Part(text)))


Conversation = tuple[Message, ...]
"""Turns, oldest first."""
