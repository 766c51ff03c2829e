"""Texts of every kind, each with the tokens that the densest of real tokenizers makes of it; and who counts so."""

import random
import string
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from tests.upstream import Request, Speech

PER_CALL, PER_TURN, PER_SCHEMA = 25, 6, 80
"""What a chat template, and an endpoint that is held to a schema, adds of its own."""
_PLAIN = 8
"""Letters of a word of our own prompts that are one token."""


@dataclass(frozen=True, slots=True)
class CountedText:
    """A text, and what it comes to."""

    kind: str
    text: str
    tokens: int


_PARAGRAPHS = """
83 It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a
wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this
truth is so well fixed in the minds of the surrounding families, that he is considered as the rightful property of
some one or other of their daughters.

70 Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or
twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it, and what is
the use of a book, thought Alice, without pictures or conversations?

75 Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, and nothing
particular to interest me on shore, I thought I would sail about a little and see the watery part of the world. It is
a way I have of driving off the spleen and regulating the circulation.

83 When on board a ship of war, as naturalist, I was much struck with certain facts in the distribution of the
inhabitants of South America, and in the geological relations of the present to the past inhabitants of that
continent. These facts seemed to me to throw some light on the origin of species, that mystery of mysteries, as it has
been called by one of our greatest philosophers.

70 Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and
dedicated to the proposition that all men are created equal. Now we are engaged in a great civil war, testing whether
that nation, or any nation so conceived and so dedicated, can long endure.

69 The greatest improvement in the productive powers of labour, and the greater part of the skill, dexterity, and
judgment, with which it is anywhere directed, or applied, seem to have been the effects of the division of labour. It
is commonly supposed to be carried furthest in some very trifling ones.

86 A budget is a limit on what one run may use. Before the first call is made, the worst case of the plan is compared
with it, and a plan that could cost more loses layers, then agents, or is refused. While the run goes on, the worst
case of each call is set aside before it is made, and what the call did not use is given back when it has ended.

86 To Sherlock Holmes she is always the woman. I have seldom heard him mention her under any other name. In his eyes
she eclipses and predominates the whole of her sex. It was not that he felt any emotion akin to love for Irene Adler.
All emotions, and that one particularly, were abhorrent to his cold, precise but admirably balanced mind.
"""
"""Each after what Mistral 7B's vocabulary makes of it, which took the most of twelve."""
PROSE = tuple(
    CountedText("prose", " ".join(words), int(number))
    for number, *words in (paragraph.split() for paragraph in _PARAGRAPHS.split("\n\n"))
)


def _of(alphabet: str, size: int = 400) -> Callable[[random.Random], str]:
    return lambda draw: "".join(draw.choice(alphabet) for _ in range(size))


def _from(first: int, last: int) -> str:
    return "".join(map(chr, range(first, last + 1)))


DENSE: Mapping[str, tuple[float, Callable[[random.Random], str]]] = {
    "digits": (1.0, _of(string.digits)),
    "hexadecimal": (0.9, lambda draw: draw.randbytes(200).hex()),
    "base64": (0.82, lambda draw: b64encode(draw.randbytes(300)).decode()),
    "small letters": (0.6, _of(string.ascii_lowercase)),
    "capitals": (0.69, _of(string.ascii_uppercase)),
    "mixed letters": (0.735, _of(string.ascii_letters)),
    "signs": (0.82, _of(string.punctuation)),
    "line ends and blanks": (0.96, _of(" \n\t")),
    "words of random letters": (0.565, lambda draw: " ".join(_of(string.ascii_lowercase, 6)(draw) for _ in range(60))),
    "accents": (1.92, _of(_from(0xE0, 0x17F))),
    "cyrillic": (1.48, _of(_from(0x430, 0x44F))),
    "arabic": (1.6, _of(_from(0x627, 0x64A))),
    "thai": (2.0, _of(_from(0xE01, 0xE2E))),
    "kana": (1.92, _of(_from(0x3041, 0x3096))),
    "han": (2.86, _of(_from(0x4E00, 0x9FA5))),
    "hangul": (2.99, _of(_from(0xAC00, 0xD7A3))),
    "emoji": (3.98, _of(_from(0x1F300, 0x1F64F))),
}
"""Each kind with what the densest of twelve real tokenizers makes of a character, measured on random ones."""


def dense(kind: str, seed: int) -> CountedText:
    """Make a text of a kind."""
    rate, make = DENSE[kind]
    text = make(random.Random(f"{kind}:{seed}"))
    return CountedText(kind, text, ceil(rate * len(text)))


class DenseTokenizer:
    """Counts the texts that it knows as the densest tokenizer does, and all around them as prose and signs."""

    def __init__(self, known: tuple[CountedText, ...]) -> None:
        self._known = sorted(known, key=lambda one: -len(one.text))

    def tokens(self, text: str) -> int:
        """Return the tokens of a text."""
        total = 0
        for one in self._known:
            total += text.count(one.text) * one.tokens
            text = text.replace(one.text, " ")
        return total + sum(_plainly(word) for word in text.split())

    def asked(self, request: Request) -> int:
        """Return the tokens of all that a request sends."""
        body: Mapping[str, Any] = request.body
        total = PER_CALL + sum(PER_TURN + self.tokens(turn["content"]) for turn in body["messages"])
        held = body.get("response_format")
        return total + (PER_SCHEMA + self.tokens(_spelled(held["json_schema"]["schema"])) if held else 0)

    def answering(self, answers: Iterator[CountedText]) -> Callable[[Request], Speech]:
        """Return a script that says one text after the other, and reports what it counts."""

        def answer(request: Request) -> Speech:
            said, read = next(answers), self.asked(request)
            usage = {"prompt_tokens": read, "completion_tokens": said.tokens, "total_tokens": read + said.tokens}
            return Speech(said.text, tokens=1, usage=usage)

        return answer


def _plainly(word: str) -> int:
    letters = sum(character.isalpha() for character in word)
    if letters < sum(character.isalnum() for character in word):
        return len(word)  # the mark of a run, which is hexadecimal
    return ceil(letters / _PLAIN) + len(word) - letters


def _spelled(schema: object) -> str:
    """Return a schema as it is read: every name and sign by itself."""
    if isinstance(schema, dict):
        return " ".join(f'" {name} " : {_spelled(value)} ,' for name, value in schema.items()) + " { }"
    if isinstance(schema, list):
        return " ".join(f"{_spelled(value)} ," for value in schema) + " [ ]"
    return f'" {schema} "'
