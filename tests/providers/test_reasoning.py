"""Reasoning between tags is taken out, wherever the text is cut."""

from itertools import combinations

import pytest

from moa_server.providers.reasoning import THINK, ReasoningFilter, Tags

SQUARE = Tags("[think]", "[/think]")


def sort(*pieces: str, tags: tuple[Tags, ...] = (THINK,), begins_inside: bool = False) -> tuple[str, str]:
    reasoning = ReasoningFilter(tags, begins_inside=begins_inside)
    said, thought = zip(*[*(reasoning.feed(piece) for piece in pieces), reasoning.end()], strict=True)
    return "".join(said), "".join(thought)


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("plain", "plain", ""),
        ("<think>why</think>so", "so", "why"),
        ("<think>why</think>\n\n so <", "so <", "why"),
        ("a <think>b</think> c", "a  c", "b"),
        ("<think>a</think><think>b</think>c", "c", "ab"),
        ("<think>never closed", "", "never closed"),
        ("1 < 2 <thin> <<think>x</think>y", "1 < 2 <thin> <y", "x"),
        ("<think>a <think> b </thin </think>c", "c", "a <think> b </thin "),
        ("ends in <thi", "ends in <thi", ""),
        ("<think></think>", "", ""),
        ("no <b>bold</b>", "no <b>bold</b>", ""),
    ],
)
def test_any_cutting_sorts_the_same(text: str, said: str, thought: str) -> None:
    assert sort(text) == (said, thought)
    assert sort(*text) == (said, thought)
    for a, b in combinations(range(len(text) + 1), 2):
        assert sort(text[:a], text[a:b], text[b:]) == (said, thought)


def test_tags_of_ones_own() -> None:
    text = "[think]a[/think]b <think>c</think>"
    for at in range(len(text)):
        assert sort(text[:at], text[at:], tags=(SQUARE,)) == ("b <think>c</think>", "a")
        assert sort(text[:at], text[at:], tags=(SQUARE, THINK)) == ("b ", "ac")


def test_the_opening_tag_may_be_part_of_the_prompt() -> None:
    text = "why\n</think>\nso"
    for at in range(len(text)):
        assert sort(text[:at], text[at:], begins_inside=True) == ("so", "why\n")


def test_without_tags_nothing_is_touched() -> None:
    assert sort("<think>a</think>b", tags=()) == ("<think>a</think>b", "")


def test_only_what_may_become_a_tag_is_held_back() -> None:
    reasoning = ReasoningFilter((THINK,))
    assert reasoning.feed("a < b <th") == ("a < b ", "")
    assert reasoning.feed("e end") == ("<the end", "")


def test_a_piece_full_of_tags_takes_a_time_in_proportion() -> None:
    """Where each tag had the rest copied, this took minutes."""
    assert sort("<think>a</think>b" * 400_000) == ("b" * 400_000, "a" * 400_000)
