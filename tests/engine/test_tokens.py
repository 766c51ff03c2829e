"""What is counted for a text is no less than the densest of real tokenizers makes of it, and little more for prose."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain import tokens
from moa_server.domain.conversation import Image, Message, Part, Role
from moa_server.domain.model import ModelSpec, Prompt
from tests.engine.dense_texts import DENSE, PROSE, dense


class Characters:
    """A tokenizer for which every character is a token."""

    def count(self, text: str) -> int:
        return len(text)


@pytest.mark.parametrize("kind", DENSE)
def test_no_text_is_counted_for_less_than_the_densest_tokenizer_makes_of_it(kind: str) -> None:
    texts = [dense(kind, seed) for seed in range(20)]  # the rate of a kind is that of many
    densest = sum(text.tokens for text in texts)
    assert densest <= sum(tokens.of_text(text.text) for text in texts) <= 1.7 * densest


def test_prose_is_counted_for_no_less_and_for_a_quarter_more_at_the_most() -> None:
    text = "\n\n".join(one.text for one in PROSE)
    assert 1 <= tokens.of_text(text) / sum(one.tokens for one in PROSE) <= 1.25
    assert all(one.tokens <= tokens.of_text(one.text) for one in PROSE)


@given(st.text())
def test_a_text_is_at_most_one_token_a_byte_but_for_a_margin(text: str) -> None:
    size = len(text.encode(errors="surrogatepass"))
    assert bool(text) <= tokens.of_text(text) <= size + size**0.5 + 2


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=64), st.text(alphabet=st.characters(codec="utf-8")))
def test_the_same_text_is_always_counted_the_same(text: str, other: str) -> None:
    first = tokens.of_text(text)
    tokens.of_text(other)
    assert tokens.of_text("".join([*text])) == first


def test_everything_that_a_call_sends_is_counted() -> None:
    spec, schema = ModelSpec("m", "openai"), json.dumps({"type": "object", "properties": {"a": {"type": "string"}}})
    asked = (Message.of(Role.USER, "hello"),)
    bare = Prompt(asked).tokens(spec)
    assert bare == tokens.TOKENS_PER_CALL + tokens.TOKENS_PER_MESSAGE + tokens.of_text("hello")
    held = Prompt(asked, response_schema=schema).tokens(spec)
    assert held == bare + tokens.TOKENS_PER_SCHEMA + 3 * tokens.TOKENS_PER_SUBSCHEMA + tokens.of_text(schema)
    seen = (Message(Role.USER, (Part("hello"), Part(image=Image("image/png", b"")))),)
    assert Prompt(seen).tokens(spec) == bare + tokens.TOKENS_PER_IMAGE


def test_a_models_own_tokenizer_counts_in_place_of_the_assumption() -> None:
    spec = ModelSpec("m", "openai", counted_by=Characters())
    frame = tokens.TOKENS_PER_CALL + tokens.TOKENS_PER_MESSAGE
    assert Prompt((Message.of(Role.USER, "hello" * 1000),)).tokens(spec) == frame + 5000


def test_what_is_too_long_for_a_tokenizer_on_the_loop_is_assumed() -> None:
    spec, text = ModelSpec("m", "openai", counted_by=Characters()), "several words " * 10_000
    frame = tokens.TOKENS_PER_CALL + 2 * tokens.TOKENS_PER_MESSAGE
    long = (Message.of(Role.USER, text), Message.of(Role.USER, text))
    assert Prompt(long).tokens(spec) == frame + 2 * tokens.of_text(text) < 2 * len(text)


def test_the_words_of_a_text_of_megabytes_are_not_looked_at() -> None:
    """It would take its time, on the event loop: each letter is counted as one of many random ones."""
    prose = "with " * 1200
    assert tokens.of_text(prose * 200) > 2 * 200 * tokens.of_text(prose)
