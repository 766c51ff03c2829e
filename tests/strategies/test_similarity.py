"""Likeness is by words, the same whichever text comes first, and needs no model."""

from hypothesis import given
from hypothesis import strategies as st

from moa_server.strategies.parts.similarity import agreement, most_central, most_diverse, overlap, tokens

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
    assert 0.0 <= overlap(tokens(one), tokens(other)) == overlap(tokens(other), tokens(one)) <= 1.0


@given(TEXTS, st.integers(1, 8))
def test_as_many_are_chosen_as_were_asked_for(texts: list[str], count: int) -> None:
    chosen = most_diverse(texts, count)
    assert len(chosen) == min(count, len(texts))
    assert chosen == sorted(set(chosen))
    assert 0 <= most_central(texts) < len(texts)
