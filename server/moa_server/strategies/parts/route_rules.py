"""Picks agents of a pool by an operator's rules on the words of the query."""

import re
from collections.abc import Iterator

from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Conversation, Role

_MOST_CHARACTERS = 20_000
_ARROW = "->"


def by_rules(
    rules: tuple[str, ...], otherwise: str, pool: tuple[Agent, ...], messages: Conversation
) -> tuple[str, str]:
    """Return the label that the last user message calls for, and why."""
    text = _last_words(messages)
    for rule in rules:
        words, label = read_rule(rule)
        found = [word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
        if found and any(label in agent.labels for agent in pool):
            return label, f"the query holds {found[0]!r}"
    return otherwise, "no rule fits the query"


def read_rule(rule: str) -> tuple[tuple[str, ...], str]:
    """Return the words and the label of a rule such as ``python, code -> coding``."""
    words, _, label = rule.partition(_ARROW)
    return tuple(word.strip().casefold() for word in words.split(",") if word.strip()), label.strip()


def problems(rules: tuple[str, ...], otherwise: str, pool: tuple[Agent, ...]) -> Iterator[str]:
    """Tell which rules lead nowhere."""
    known = {label for agent in pool for label in agent.labels}
    if not rules:
        yield "rules are needed, such as 'python, code -> coding'"
    for rule in rules:
        words, label = read_rule(rule)
        if not words or not label:
            yield f"rule {rule!r} has to be words and a label, such as 'python, code -> coding'"
        elif label not in known:
            yield f"rule {rule!r} leads to {label!r}; the labels of the pool are {', '.join(sorted(known)) or 'none'}"
    if otherwise and otherwise not in known:
        yield f"otherwise is {otherwise!r}; the labels of the pool are {', '.join(sorted(known)) or 'none'}"


def _last_words(messages: Conversation) -> str:
    said = [message.text for message in messages if message.role is Role.USER]
    return said[-1][:_MOST_CHARACTERS].casefold() if said else ""
