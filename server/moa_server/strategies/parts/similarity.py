"""How alike texts are, by the words they share; no model is asked."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

_MOST_CHARACTERS = 8_000
"""What lies beyond is not compared: enough to tell texts apart, little enough to do it at once."""
# Chinese, Japanese and Korean put no blanks between words, so that each of their characters counts as one.
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+")


def tokens(text: str) -> Counter[str]:
    """Return the words of a text, without regard to case, and how often each is there."""
    return Counter(_TOKEN.findall(text[:_MOST_CHARACTERS].casefold()))


def overlap(one: Counter[str], other: Counter[str]) -> float:
    """Return the share of words that two texts have in common, from 0 to 1."""
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0


def agreement(texts: Sequence[str]) -> float:
    """Return how alike texts are on average, from 0 to 1; a single text agrees with nobody."""
    pairs = [overlap(one, other) for one, other in combinations([tokens(text) for text in texts], 2)]
    return sum(pairs) / len(pairs) if pairs else 0.0


def most_diverse(texts: Sequence[str], count: int) -> list[int]:
    """Return the places of the texts that differ most: the first, then always the one least like those chosen."""
    words = [tokens(text) for text in texts]
    chosen = list(range(min(1, len(texts))))
    left = list(range(1, len(texts)))
    while left and len(chosen) < count:
        nearest = {place: max(overlap(words[place], words[other]) for other in chosen) for place in left}
        best = min(left, key=lambda place: nearest[place])
        chosen.append(best)
        left.remove(best)
    return sorted(chosen)


def most_central(texts: Sequence[str]) -> int:
    """Return the place of the text that is most like the others, the first of equals."""
    words = [tokens(text) for text in texts]

    def likeness(place: int) -> float:
        return sum(overlap(words[place], other) for other in words)

    return max(range(len(texts)), key=likeness)
