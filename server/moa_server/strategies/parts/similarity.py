"""How alike texts are, by the words they share; no model is asked."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

_MOST_CHARACTERS = 8_000
"""What lies beyond is not compared: enough to tell texts apart, little enough to do it at once."""
_MOST_WORDS = 64_000
"""Of all texts that are compared with one another: where these are many, they are compared by their beginnings."""
# Chinese, Japanese and Korean put no blanks between words, so that each of their characters counts as one.
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+")


def words_of(texts: Sequence[str]) -> list[int]:
    """Return the words of each text, without regard to case: one bit for each time that a word is there.

    What two texts share is then what their bits have in common, found in microseconds. So the work hangs on how long
    the texts are together, hardly on how many pairs there are of them.
    """
    most = min(_MOST_CHARACTERS, _MOST_WORDS // max(len(texts), 1))
    places: dict[tuple[str, int], int] = {}
    found = []
    for text in texts:
        counted = Counter(_TOKEN.findall(text[:_MOST_CHARACTERS].casefold())[:most])
        each = ((word, number) for word, count in counted.items() for number in range(count))
        own = [places.setdefault(one, len(places)) for one in each]
        bits = bytearray(len(places) // 8 + 1)
        for place in own:
            bits[place >> 3] |= 1 << (place & 7)
        found.append(int.from_bytes(bits, "little"))
    return found


def overlap(one: int, other: int) -> float:
    """Return the share of words that two texts have in common, from 0 to 1."""
    total = one.bit_count() + other.bit_count()
    return 2 * (one & other).bit_count() / total if total else 1.0


def agreement(texts: Sequence[str]) -> float:
    """Return how alike texts are on average, from 0 to 1; a single text agrees with nobody."""
    pairs = [overlap(one, other) for one, other in combinations(words_of(texts), 2)]
    return sum(pairs) / len(pairs) if pairs else 0.0


def most_diverse(texts: Sequence[str], count: int) -> list[int]:
    """Return the places of the texts that differ most: the first, then always the one least like those chosen."""
    words = words_of(texts)
    chosen = list(range(min(1, len(texts))))
    nearest = dict.fromkeys(range(1, len(texts)), 0.0)
    while nearest and len(chosen) < count:
        for place in nearest:
            nearest[place] = max(nearest[place], overlap(words[place], words[chosen[-1]]))
        best = min(nearest, key=nearest.__getitem__)
        chosen.append(best)
        del nearest[best]
    return sorted(chosen)


def most_central(texts: Sequence[str]) -> int:
    """Return the place of the text that is most like the others, the first of equals."""
    words = words_of(texts)
    return max(range(len(texts)), key=lambda place: sum(overlap(words[place], other) for other in words))
