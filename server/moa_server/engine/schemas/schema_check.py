"""Holds a document to a compiled schema: a slice at a time, within a bound, and each part to each subschema once."""

import asyncio
from typing import Any, Final

from moa_server.engine.schemas.subschema import Misfit, Subschema, Walk

MOST_STEPS: Final = 1_500_000
"""Of one check: one or two microseconds each, so that three seconds of work are the most that an answer can cause."""
MOST_AT_ONCE: Final = 20_000
"""Of what cannot be interrupted: one search for an expression."""
SLICE: Final = 4_000
"""Steps after which others have their turn."""
_MOST_REMEMBERED: Final = 100_000
"""Pairs of a part and a subschema whose outcome is kept: where alternatives are nested, each asks for it again."""


class TooManySteps(Exception):
    """A document takes too long to be held to its schema."""


class SchemaCheck:
    """One document, as it is held to one schema. Nothing calls itself here, however deep the two are nested."""

    def __init__(self, most_steps: int = MOST_STEPS) -> None:
        self._most = most_steps
        self._known: dict[tuple[int, int], Misfit | None] = {}
        self._walks: list[tuple[Walk, tuple[int, int] | None]] = []
        self.steps = 0
        self.slices = 1

    async def misfit(self, schema: Subschema, document: Any) -> Misfit | None:  # noqa: ANN401 - any JSON
        """Return how the document fails the schema, or None if it does not.

        Raises:
            TooManySteps: it takes too long to say.
        """
        told = self._ask(schema, document)
        while self._walks:
            walk, key = self._walks[-1]
            try:
                asked = walk.send(told)
            except StopIteration as done:
                told = done.value
                self._walks.pop()
                if key is not None and len(self._known) < _MOST_REMEMBERED:
                    self._known[key] = told
                continue
            if isinstance(asked, int):
                if asked > MOST_AT_ONCE:
                    raise TooManySteps
                self._charge(asked)
                told = None
            else:
                told = self._ask(*asked)
            if self.steps >= self.slices * SLICE:
                self.slices = self.steps // SLICE + 1
                await asyncio.sleep(0)
        return told

    def _ask(self, subschema: Subschema, value: Any) -> Misfit | None:  # noqa: ANN401 - any JSON
        """Judge a value by what can be judged at once; what else is to be looked at is put on top of the walks."""
        # A part keeps its identity for as long as the document is there.
        key = (id(subschema), id(value)) if type(value) in (list, dict) else None
        if key is not None and key in self._known:
            self._charge(1)
            return self._known[key]
        self._charge(subschema.cost)
        for keyword, assertion in subschema.assertions:
            why = assertion(value)
            if why is not None:
                return Misfit(keyword, why)
        if subschema.applicators:
            self._walks.append((_walk(subschema, value), key))
        return None

    def _charge(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self._most:
            raise TooManySteps


def _walk(subschema: Subschema, value: Any) -> Walk:  # noqa: ANN401 - any JSON
    for applicator in subschema.applicators:
        misfit = yield from applicator(value)
        if misfit is not None:
            return misfit
    return None
