"""The form of the paper (arXiv:2406.04692, table 1), to the letter: references numbered in the system message."""

from moa_server.domain.conversation import Conversation, Message, Role

INSTRUCTION = (
    "You have been provided with a set of responses from various open-source models to the latest user query. "
    "Your task is to synthesize these responses into a single, high-quality response. It is crucial to critically "
    "evaluate the information provided in these responses, recognizing that some of it may be biased or incorrect. "
    "Your response should not simply replicate the given answers but should offer a refined, accurate, and "
    "comprehensive reply to the instruction. Ensure your response is well-structured, coherent, and adheres to the "
    "highest standards of accuracy and reliability.\n\nResponses from models:"
)


def put(messages: Conversation, references: tuple[str, ...]) -> Conversation:
    """Put the block after the system's words, or before everything where there are none."""
    if not references:
        return messages
    block = "".join((INSTRUCTION, *(f"\n{number}. {text}" for number, text in enumerate(references, 1))))
    if messages and messages[0].role is Role.SYSTEM:
        return (messages[0].with_text("\n\n" + block), *messages[1:])
    return (Message.of(Role.SYSTEM, block), *messages)
