"""Likeness is by words, the same whichever text comes first, and needs no model."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from moa_server.strategies.parts.similarity import agreement, most_central, most_diverse, overlap, words_of

TEXTS = st.lists(st.text(max_size=20), min_size=1, max_size=6)


def test_the_same_words_in_another_dress_agree() -> None:
    assert agreement(["It is forty-two.", "it IS: forty two"]) == 1.0
    assert agreement(["one thing", "other words"]) == 0.0
    assert agreement(["alone"]) == 0.0


def test_languages_without_blanks_are_compared_by_their_characters() -> None:
    assert 0.5 < agreement(["答案是四十二", "答案是四十三"]) < 1.0


def test_a_copy_adds_no_diversity() -> None:
    assert most_diverse(["a b c", "a b c", "x y z", "a b z"], 2) == [0, 2]


def test_the_central_text_is_the_one_most_like_the_others() -> None:
    assert most_central(["far away", "the cat sat", "the cat sat down", "the cat slept"]) == 1


@given(st.text(), st.text())
def test_likeness_is_a_share_and_has_no_direction(one: str, other: str) -> None:
    first, second = words_of([one, other])
    assert 0.0 <= overlap(first, second) == overlap(second, first) <= 1.0


@given(TEXTS, st.integers(1, 8))
def test_as_many_are_chosen_as_were_asked_for(texts: list[str], count: int) -> None:
    chosen = most_diverse(texts, count)
    assert len(chosen) == min(count, len(texts))
    assert chosen == sorted(set(chosen))
    assert 0 <= most_central(texts) < len(texts)


def test_many_long_texts_are_compared_by_no_more_words_than_a_few() -> None:
    """Each character of these is a word. Where every pair was compared word by word, 64 of them took a minute."""
    alphabet = "".join(chr(0x4E00 + place) for place in range(16_000))
    texts = [alphabet[place * 100 :] for place in range(64)]
    for count, words in ((1, 8000), (8, 64_000), (64, 64_000)):
        assert sum(one.bit_count() for one in words_of(texts[:count])) == words
    assert 0 < agreement(texts) < 1
    assert len(most_diverse(texts, 32)) == 32
    assert 0 <= most_central(texts) < 64


@given(st.text(alphabet="ab ", max_size=30), st.text(alphabet="ab ", max_size=30))
def test_a_word_is_shared_as_often_as_both_have_it(one: str, other: str) -> None:
    counts, others = Counter(one.split()), Counter(other.split())
    total = counts.total() + others.total()
    assert agreement([one, other]) == (2 * (counts & others).total() / total if total else 1.0)
