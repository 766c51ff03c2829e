"""An upper estimate of how many tokens a text has; no tokenizer is asked."""

from moa_server.domain.conversation import Message

TOKENS_PER_BYTE = 0.325
"""A quarter of the UTF-8 bytes, and three tenths more: above the count of common tokenizers."""
TOKENS_PER_MESSAGE = 8
"""For the marks that a chat template puts around a turn."""
TOKENS_PER_IMAGE = 1600
"""What the dearest common endpoints count for one picture."""


def of_text(text: str) -> int:
    """Return an upper estimate for a text."""
    size = len(text) if text.isascii() else len(text.encode())
    return int(size * TOKENS_PER_BYTE) + 1 if text else 0


def of_messages(messages: tuple[Message, ...]) -> int:
    """Return an upper estimate for a conversation."""
    return sum(
        TOKENS_PER_MESSAGE + sum(of_text(part.text) + (TOKENS_PER_IMAGE if part.image else 0) for part in message.parts)
        for message in messages
    )
