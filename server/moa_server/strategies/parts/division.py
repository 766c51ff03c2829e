"""Reads how a coordinator divides the work, and puts the subtasks into steps."""

from dataclasses import dataclass
from typing import Any

from moa_server.strategies.parts.json_text import last_object

_MOST_BYTES = 1_000
"""Of a subtask's text: less than what the plan counts for what an agent is told."""


@dataclass(frozen=True, slots=True)
class Subtask:
    """A part of the work."""

    agent: int
    """The specialist's place."""
    task: str
    needs: tuple[int, ...]
    """The places of the subtasks whose results it reads, all of them before its own."""
    step: int


class Unusable(Exception):
    """A division cannot be carried out; says why, in words of ours alone."""


def divided(text: str, specialists: int, depth: int) -> tuple[Subtask, ...]:
    """Return the subtasks of a coordinator's reply.

    Raises:
        Unusable: there are none, or they make no sense.
    """
    listed = (last_object(text, "subtasks") or {}).get("subtasks")
    if not isinstance(listed, list) or not listed:
        raise Unusable("it holds no JSON object with a list of subtasks")
    found: list[Subtask] = []
    for number, one in enumerate(listed[: specialists * depth + 1], 1):
        found.append(_placed(found, *_read(one, number, specialists)))
        if found[-1].step >= depth:
            raise Unusable(f"subtask {number} does not fit into {depth} steps, with one subtask a specialist in each")
    return tuple(found)


def _read(one: Any, number: int, specialists: int) -> tuple[int, str, tuple[int, ...]]:  # noqa: ANN401 - JSON
    if not isinstance(one, dict):
        raise Unusable(f"subtask {number} is no JSON object")
    agent, task, needs = one.get("agent"), one.get("task"), one.get("needs", [])
    if type(agent) is not int or not 1 <= agent <= specialists:
        raise Unusable(f"subtask {number} names no specialist from 1 to {specialists}")
    if not isinstance(task, str) or not task.strip():
        raise Unusable(f"subtask {number} does not say what is to be done")
    if not isinstance(needs, list) or not all(type(need) is int and 1 <= need < number for need in needs):
        raise Unusable(f"subtask {number} needs what is no earlier subtask")
    short = task.strip().encode(errors="replace")[:_MOST_BYTES].decode(errors="ignore")
    return agent - 1, short, tuple(need - 1 for need in dict.fromkeys(needs))


def _placed(earlier: list[Subtask], agent: int, task: str, needs: tuple[int, ...]) -> Subtask:
    """Put a subtask after all it needs, into the first step in which its specialist is free."""
    busy = {one.step for one in earlier if one.agent == agent}
    step = max((earlier[need].step + 1 for need in needs), default=0)
    while step in busy:
        step += 1
    return Subtask(agent, task, needs, step)
