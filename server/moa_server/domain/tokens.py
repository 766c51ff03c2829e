"""The most tokens that a text can have, and all that is sent with a call: by a model's own tokenizer, or by assumption.

The assumption is a density for each class of characters, an upper bound of what twelve real tokenizers make of it, from
the vocabularies of GPT-3 to GPT-4o, Claude, Mistral, Qwen and DeepSeek down to the 32,000 pieces of Mistral 7B and the
49,000 of SmolLM2. What was measured, in tokens a byte, of the densest of them beside what is counted here:

    English prose           0.20 to 0.25     1.1 to 1.25 times it
    German, French, Polish  0.35 to 0.43     1.2 to 1.3 times it
    random small letters    0.60             1.05 times it
    random capitals         0.69             0.76
    base64, hexadecimal     0.81, 0.90       1.05 times it
    digits                  1.00             one each
    punctuation             0.81             one each
    line ends, blanks       0.95             one each, but for a blank before a word or a sign, which is part of it
    beyond ASCII            0.5 to 1.00      one a byte: random Han, Hangul and emoji reach it; prose has less

What is written in scripts beyond Latin, and code, is counted too high for most models: a tokenizer's own file counts it
as it is.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from moa_server.domain import word_pieces
from moa_server.domain.conversation import Message

TOKENS_PER_CALL: Final = 32
"""For what a chat template says of its own beside the conversation, such as the day or the model's name."""
TOKENS_PER_MESSAGE: Final = 8
"""For the marks that a chat template puts around a turn."""
TOKENS_PER_IMAGE: Final = 1600
"""What the dearest common endpoints count for one picture."""
TOKENS_PER_SCHEMA: Final = 350
"""For what an endpoint tells its model about a schema, beside it: as dear as what the common ones say of a tool. Where
the endpoint says nothing, because it is told of the schema in the instructions, for what is said there beside it."""
TOKENS_PER_SUBSCHEMA: Final = 10
"""For what is added to each part of a schema that is sent in another form: that an object is closed, that what stood
beside its description is said in it."""

_MOST_TOKENIZED: Final = 256 * 1024
"""Characters of a conversation, beyond which all is assumed: a tokenizer takes half a microsecond each, on the loop."""
_CAPITAL: Final = 0.76
_SMALL: Final = 0.62
"""For one of many random letters."""
_CAPITALISED: Final = 1.1
"""A word with a capital is in fewer vocabularies."""
_LONGEST_WORD: Final = 48
"""A longer one is counted as random letters."""
_MOST_WORDS: Final = 10_000
"""Different words of one text that are looked at; all further ones are counted as random letters."""
_MOST_LOOKED_AT: Final = 1 << 20
"""Bytes of a text, beyond which its words are not looked at, since that takes its time."""
_REMEMBERED: Final = 4096
_SHORTEST_REMEMBERED: Final = 64

_WORD: Final = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+")
_LETTER, _BLANK, _SIGN, _OTHER = b"a", b" ", b"!", b"0"
_CLASSES: Final = bytes(
    ord(
        _LETTER if chr(code).isalpha() else _BLANK if code == ord(" ") else _SIGN if chr(code).isprintable() else _OTHER
    )
    if code < 128 and not chr(code).isdigit()  # noqa: PLR2004 - the end of ASCII
    else ord(_OTHER)
    for code in range(256)
)
"""Of each byte of UTF-8, what it is: a letter, a blank, a sign that a blank before it belongs to, or a token."""
_ONLY_LETTERS: Final = bytes(code if kind == ord(_LETTER) else ord(_BLANK) for code, kind in enumerate(_CLASSES))

_word_tokens: dict[bytes, float] = {}


class Tokenizer(Protocol):
    """Counts as one model's endpoint does."""

    def count(self, text: str) -> int:
        """Return the most tokens that a text has."""
        ...


class Remembered:
    """Counts texts, and does not count again what it has counted lately."""

    def __init__(self, count: Callable[[str], int], most: int) -> None:
        """Count by ``count``, and remember at most so many texts."""
        self._count = count
        self._most = most
        self._known: dict[tuple[int, int], int] = {}
        """By the hash and length of a text, so that none is kept for it; the hash is keyed anew in every process."""

    def count(self, text: str) -> int:
        """Return the most tokens of a text."""
        key = hash(text), len(text)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self._most:
                self._known.clear()
            found = self._known[key] = self._count(text)
        return found


def of_text(text: str, tokenizer: Tokenizer | None = None) -> int:
    """Return the most tokens of a text."""
    if tokenizer is not None and len(text) <= _MOST_TOKENIZED:
        return tokenizer.count(text) if text else 0
    if len(text) < _SHORTEST_REMEMBERED:
        return _assumed(text) if text else 0
    return _assumptions.count(text)


def of_messages(messages: tuple[Message, ...], tokenizer: Tokenizer | None = None) -> int:
    """Return the most tokens of the turns of a conversation."""
    if (
        tokenizer is not None
        and sum(len(part.text) for message in messages for part in message.parts) > _MOST_TOKENIZED
    ):
        tokenizer = None
    return sum(_of_message(message, tokenizer) for message in messages)


def of_schema(schema: str | None, tokenizer: Tokenizer | None = None) -> int:
    """Return the most tokens of a response schema, which is sent, and paid for, with every call that has one.

    It is an upper bound for each form in which a dialect sends it.
    """
    if schema is None:
        return 0
    return TOKENS_PER_SCHEMA + TOKENS_PER_SUBSCHEMA * schema.count("{") + of_text(schema, tokenizer)


def of_call(messages: tuple[Message, ...], schema: str | None, tokenizer: Tokenizer | None = None) -> int:
    """Return the most tokens of all that one call sends."""
    return TOKENS_PER_CALL + of_messages(messages, tokenizer) + of_schema(schema, tokenizer)


def _of_message(message: Message, tokenizer: Tokenizer | None) -> int:
    parts = (of_text(part.text, tokenizer) + (TOKENS_PER_IMAGE if part.image else 0) for part in message.parts)
    return TOKENS_PER_MESSAGE + sum(parts)


def _assumed(text: str) -> int:
    data = text.encode(errors="surrogatepass")
    classes = data.translate(_CLASSES)
    letters = classes.count(_LETTER)
    absorbed = classes.count(_BLANK + _LETTER) + classes.count(_BLANK + _SIGN)
    most = len(data) - letters - absorbed + _of_words(data, letters)
    # The shorter a text, the further it can be from what is usual.
    return math.ceil(most + math.sqrt(most) / 2)


_assumptions = Remembered(_assumed, _REMEMBERED)


def _of_words(data: bytes, letters: int) -> float:
    if len(data) > _MOST_LOOKED_AT:
        return letters * _CAPITAL
    counts = Counter(data.translate(_ONLY_LETTERS).split())
    known = _word_tokens
    if len(counts) <= _MOST_WORDS:
        return sum((known.get(word) or _of_word(word)) * count for word, count in counts.items())
    total = 0.0
    for number, (word, count) in enumerate(counts.items()):
        each = (known.get(word) or _of_word(word)) if number < _MOST_WORDS else len(word) * _CAPITAL
        total += each * count
    return total


def _of_word(letters: bytes) -> float:
    """Return the tokens of a run of letters, which falls into words where small ones are followed by a capital."""
    if len(letters) > _LONGEST_WORD:
        return len(letters) * (_SMALL if letters.islower() else _CAPITAL)
    if len(_word_tokens) >= _MOST_WORDS:
        _word_tokens.clear()
    tokens = _word_tokens[letters] = sum(map(_of_piece, _WORD.findall(letters)))
    return tokens


def _of_piece(word: bytes) -> float:
    if len(word) == 1:
        return 1.0
    if word.isupper():
        return len(word) * _CAPITAL
    return word_pieces.pieces(word.lower().decode()) * (1.0 if word.islower() else _CAPITALISED)
