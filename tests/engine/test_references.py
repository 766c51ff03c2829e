"""What an agent is shown fits its model, fairly and between characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Conversation, Image, Message, Part, Role
from moa_server.domain.errors import ModelWindowExceeded
from moa_server.domain.proposal import Proposal
from moa_server.domain.strategy import Call
from moa_server.engine.runs.references import CUT_MARK, cut_to, fair_shares, show
from tests.engine.fakes import spec, user


def beside(messages: Conversation, references: tuple[str, ...]) -> Conversation:
    return (*messages[:-1], messages[-1].with_text("|".join(references))) if references else messages


def call(*references: str, instructions: str = "") -> Call:
    shown = tuple(Proposal(f"a{i}", i, "m", "m", text) for i, text in enumerate(references))
    return Call(Agent("me", "m", instructions), shown, beside)


def test_what_fits_is_shown_whole() -> None:
    shown = show(call("one", "two"), user("q"), spec(), 1000)
    assert shown.messages[-1].text == "qone|two"
    assert shown.trimmed == ()


def test_long_references_are_cut_and_short_ones_are_not() -> None:
    shown = show(call("x" * 5000, "short"), user("q"), spec(), 300)
    assert shown.trimmed == ("a0",)
    assert shown.messages[-1].text.endswith(CUT_MARK + "|short")
    assert tokens.of_messages(shown.messages) <= 300


def test_a_conversation_that_fills_the_window_is_a_typed_failure() -> None:
    with pytest.raises(ModelWindowExceeded):
        show(call("x" * 500), user("q" * 5000), spec(), 1000)
    with pytest.raises(ModelWindowExceeded):
        show(call(), user("q" * 5000), spec(), 1000)


def test_instructions_come_before_the_callers_own_system_message() -> None:
    asked = (Message.of(Role.SYSTEM, "caller"), Message.of(Role.USER, "q"))
    shown = show(call(instructions="agent"), asked, spec(), 1000).messages
    assert [message.text for message in shown] == ["agent\n\ncaller", "q"]
    assert [message.text for message in asked] == ["caller", "q"]


def test_a_model_without_eyes_is_told_that_there_was_an_image() -> None:
    asked = (Message(Role.USER, (Part("look:"), Part(image=Image("image/png", b"x")))),)
    shown = show(call(), asked, spec(), 1000).messages
    assert shown[0].images == ()
    assert "image" in shown[0].text


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(-10, 3000))
def test_shares_are_fair(sizes: list[int], room: int) -> None:
    shares = fair_shares(sizes, room)
    assert sum(shares) <= max(room, 0)
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    cut = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert not cut or max(cut) - min(cut) <= len(sizes)


@given(st.text(max_size=400), st.integers(1, 100))
def test_a_cut_falls_between_characters_and_fits(text: str, room: int) -> None:
    cut = cut_to(text, room)
    assert cut == text or cut.endswith(CUT_MARK)
    assert cut == text or text.startswith(cut.removesuffix(CUT_MARK))
    assert tokens.of_text(cut) <= max(room, tokens.of_text(CUT_MARK))
