"""JSON is found wherever a model put it, and nothing that a model writes breaks the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.strategies.parts.json_text import last_object, objects


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        'Sure!\n```json\n{"a": 1}\n```\nDone.',
        'Not {this} nor {"b": 2} but {"a": 1} {"b": 3}',
        '{"a": 0} then, on reflection, {"a": 1}',
        '{"broken": [1, } {"a": 1}',
        '{"a": NaN} {"a": 1} {"a": Infinity}',
        '{"a": 1} {"a": 1e999} {"a": -1e999}',
        f'{{"a": 1}} {{"a": {"9" * 400}}}',
    ],
)
def test_the_last_object_with_the_key_is_read(text: str) -> None:
    assert last_object(text, "a") == {"a": 1}


def test_an_object_inside_another_is_not_taken_for_one_of_its_own() -> None:
    assert [*objects('{"a": {"b": 1}}')] == [{"a": {"b": 1}}]


@pytest.mark.parametrize(
    "text", ["", "{", "}" * 9, '{"a": ' * 30_000, "{" * 100_000, '{"a": ' + "[" * 90_000, '{"a": ' + "9" * 9_000 + "}"]
)
def test_hostile_texts_hold_nothing(text: str) -> None:
    assert last_object(text, "a") is None


def test_a_long_text_is_read_at_its_end() -> None:
    assert last_object("x" * 200_000 + '{"a": 1}', "a") == {"a": 1}


@given(st.text() | st.text(alphabet='{}[]":,a1 \\'))
def test_any_text_can_be_read(text: str) -> None:
    assert all(isinstance(one, dict) for one in objects(text))
