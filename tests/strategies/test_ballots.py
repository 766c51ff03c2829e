"""What a text votes for is found, and what votes for the same is one choice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.mixture import Roster
from moa_server.strategies.parts import patterns
from moa_server.strategies.parts.ballots import choice_letter, json_field, last_number, normalised_text
from moa_server.strategies.parts.patterns import last_match
from moa_server.strategies.vote import VOTE
from tests.strategies.driver import agents


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 42.", "42"),
        ("First 7, so 1,234.50", "1234.5"),
        ("-0.0", "0"),
        ("minus: -12", "-12"),
        ("10-5", "5"),
        ("$3.10 a kilo", "3.1"),
        ("\\boxed{100}", "100"),
        ("5km", "5"),
        ("100", "100"),
        ("none", None),
        ("version x86", None),
    ],
)
def test_the_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" (c). ", "C"),
        ("The answer is (B), not A.", "B"),
        ("Answer: **D**", "D"),
        ("final answer is \\boxed{A}", "A"),
        ("(A) is wrong, so (C)", "C"),
        ("A is out; I take B", "B"),
        ("A dog's life", "A"),
        ("I cannot say", None),
        ("E", None),
        ("", None),
    ],
)
def test_the_letter_that_is_chosen(text: str, letter: str | None) -> None:
    assert choice_letter(text, "ABCD") == letter


def test_a_json_field_may_be_deep_and_of_any_kind() -> None:
    assert json_field('{"r": {"label": "spam"}}', "r.label") == "spam"
    assert json_field('{"r": {"b": 1, "a": [true]}}', "r") == '{"a": [true], "b": 1}'
    assert json_field('{"r": 1} {"r": null}', "r") == "1"
    assert json_field('{"r": 1}', "r.label") is None


def test_texts_that_differ_in_dress_alone_are_one_choice() -> None:
    assert normalised_text(" **Paris**.\n") == normalised_text("paris") == normalised_text("ＰＡＲＩＳ!")  # noqa: RUF001
    assert normalised_text("-5") != normalised_text("5")
    assert normalised_text(" .\n") is None


@pytest.mark.parametrize("marks", ["\u0315\u0300", "\u0f73", "\u0344\u0315"], ids=["marks", "hidden marks", "mixed"])
def test_marks_over_one_another_without_end_are_no_ballot_that_takes_long(marks: str) -> None:
    """To put them in order takes the square of their number: a few hundred kilobytes took minutes."""
    assert normalised_text("a" + marks * 150_000) is not None
    assert normalised_text("a" + marks * 9_000) is not None


def test_a_letter_with_a_few_marks_is_the_same_in_any_order() -> None:
    assert normalised_text("e\u0323\u0301") == normalised_text("e\u0301\u0323") == normalised_text("\u1eb9\u0301")


def test_long_texts_are_told_apart_at_their_ends_too() -> None:
    assert normalised_text("x y " * 50_000 + "A") != normalised_text("x y " * 50_000 + "B")
    assert normalised_text("X  y " * 50_000) == normalised_text("x y " * 50_000)


def test_a_pattern_takes_its_first_group_at_the_end_of_a_text() -> None:
    assert last_match(r"verdict: (\w+)", "verdict: no\nverdict: yes\nthanks") == "yes"
    assert last_match(r"\byes\b", "oh yes") == "yes"
    assert last_match(r"verdict: (\w+)?", "verdict: ") is None
    assert last_match(r"x", "none") is None


@pytest.mark.parametrize(
    "pattern", [r"answer: (\w+)", r"\d+(?:\.\d{2})?", r"(?:yes|no)", r"[(](A|B)[)]", r"(?i)final: (.*)", ".*.*.*z"]
)
def test_plain_patterns_are_allowed(pattern: str) -> None:
    assert list(patterns.problems(pattern)) == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", "0 characters"),
        ("a" * 500, "500 characters"),
        ("(", "not a regular expression"),
        ("(a+)+b", "repeats a group"),
        ("(a|a)*b", "repeats a group"),
        ("((a?){2,5}){9}", "repeats a group"),
        ("(?:x(?:a*)b)+", "repeats a group"),
        ("(?x)( a+ ) +", "flag x"),
        (r"(a)\1", "refers back"),
        ("(?P<n>a)(?P=n)", "refers back"),
        (".*.*.*.*", "too many repeats"),
        ("a?" * 30 + "a" * 30, "too many repeats"),
        ("(a|a)" * 25, "too many repeats"),
        (".{0,9}" * 8, "too many repeats"),
        ("a?" * 19 + "b", "too many repeats"),
        ("(?:a|aa)" * 19 + "b", "too many repeats"),
        ("(.*)(.*)(.*)(?:a|aa)z", "too many repeats"),
    ],
)
def test_dangerous_patterns_are_refused(pattern: str, found: str) -> None:
    assert found in next(patterns.problems(pattern))


@given(st.text(alphabet="ab()[]|+*?{}2,\\.^", max_size=12), st.text(alphabet="ab", max_size=200))
@pytest.mark.filterwarnings("ignore:Possible :FutureWarning")
def test_a_pattern_that_is_allowed_ends(pattern: str, text: str) -> None:
    if not list(patterns.problems(pattern)):
        found = last_match(pattern, text)
        assert found is None or found in text


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"extract": "number"}, "extract"),
        ({"extract": "regex"}, "pattern"),
        ({"extract": "json_field", "field": "a..b"}, "field"),
        ({"extract": "choice_letter", "letters": "abc"}, "letters"),
    ],
)
def test_ballots_that_cannot_be_read_are_told(options: dict[str, str], found: str) -> None:
    assert found in next(VOTE.problems(Roster((agents(3),)), VOTE.read(options)))
