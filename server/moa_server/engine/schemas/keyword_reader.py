"""Reads the keywords of one subschema into what it is carried out by."""

from collections.abc import Callable
from typing import Any, Final

from moa_server.engine.schemas import applicators
from moa_server.engine.schemas.assertions import ASSERTIONS, SCALARS, count_in, size_of, types_in
from moa_server.engine.schemas.linear_pattern import LinearPattern
from moa_server.engine.schemas.schema_limits import hold_values, refuse
from moa_server.engine.schemas.subschema import Subschema

_NAMES_A_STEP: Final = 16
_VALUES_A_STEP: Final = 2
_FRACTION: Final = 8
"""Steps that a division of fractions takes."""
_COMPARING: Final = frozenset({"const", "enum"})


class KeywordReader:
    """One subschema, as it is read."""

    def __init__(
        self,
        node: Subschema,
        raw: dict[str, Any],
        depth: int,
        subschema: Callable[[Any, str, int], Subschema],
        pattern: Callable[[Any, str], LinearPattern | None],
    ) -> None:
        self._node = node
        self._raw = raw
        self._depth = depth
        self._subschema = subschema
        self._pattern = pattern

    def at_once(self) -> None:
        """Read what judges a value at once."""
        node, raw = self._node, self._raw
        for keyword, assertion in ASSERTIONS.items():
            if keyword not in raw:
                continue
            if keyword in _COMPARING:
                hold_values(f"{node.place}/{keyword}", raw[keyword], self._depth)
            try:
                node.assertions.append((keyword, assertion(raw[keyword])))
            except ValueError as error:
                refuse(f"{node.place}/{keyword}", str(error))
        node.is_scalar = _is_scalar(raw)
        node.cost += _cost_of(raw)

    def of_the_value(self) -> None:
        """Read what is asked of the value itself."""
        node = self._node
        if "pattern" in self._raw:
            pattern = self._pattern(self._raw["pattern"], f"{self._node.place}/pattern")
            if pattern is not None:
                node.applicators.append(applicators.matching(pattern))
        for keyword in ("$defs", "definitions"):  # read, so that what is wrong in them is told too
            self._named(keyword)
        if all_of := self._several("allOf"):
            node.conjuncts += all_of
            node.applicators.append(applicators.all_of(all_of))
        for keyword, alternatives in (("anyOf", applicators.any_of), ("oneOf", applicators.one_of)):
            if group := self._several(keyword):
                node.alternatives.append(group)
                node.applicators.append(alternatives(group))
        if (excluded := self._one("not")) is not None:
            node.conditions.append(excluded)
            node.applicators.append(applicators.none_of(excluded))
        condition, then, otherwise = self._one("if"), self._one("then"), self._one("else")
        if condition is not None:
            node.conditions += [one for one in (condition, then, otherwise) if one is not None]
            node.applicators.append(applicators.conditional(condition, then, otherwise))
        if dependents := self._named("dependentSchemas"):
            node.conditions += dependents.values()
            node.applicators.append(applicators.dependent(dependents))

    def of_objects(self) -> None:
        """Read what is asked of properties."""
        node = self._node
        named = self._named("properties")
        by_expression = self._named("patternProperties")
        patterns = []
        is_open = False
        for expression, subschema in by_expression.items():
            pattern = self._pattern(expression, f"{node.place}/patternProperties")
            is_open |= pattern is None  # then any other property may be one of those
            if pattern is not None:
                patterns.append((pattern, subschema))
        if named:
            node.applicators.append(applicators.properties(named))
        if patterns:
            node.applicators.append(applicators.matching_properties(patterns))
        others = self._one("additionalProperties")
        if others is not None and self._raw["additionalProperties"] is not True and not is_open:
            found = [pattern for pattern, _ in patterns]
            allows = self._raw["additionalProperties"] is not False
            node.applicators.append(applicators.other_properties([*named], found, others, is_open=allows))
        if (names := self._one("propertyNames")) is not None:
            node.applicators.append(applicators.property_names(names))

    def of_arrays(self) -> None:
        """Read what is asked of items."""
        node = self._node
        first, rest = self._several("prefixItems"), self._one("items")
        if first or rest is not None:
            # Items that nothing is said of may be anything.
            node.parts += [] if rest is None else [*first, rest]
            node.applicators.append(applicators.items(first, rest))
        if (counted := self._one("contains")) is not None:
            least, most = self._count("minContains"), self._count("maxContains")
            node.applicators.append(applicators.contains(counted, 1 if least is None else least, most))

    def _one(self, keyword: str) -> Subschema | None:
        if keyword not in self._raw:
            return None
        return self._subschema(self._raw[keyword], f"{self._node.place}/{keyword}", self._depth + 1)

    def _several(self, keyword: str) -> list[Subschema]:
        if keyword not in self._raw:
            return []
        given, place = self._raw[keyword], f"{self._node.place}/{keyword}"
        if not isinstance(given, list) or not given:
            refuse(place, "must be an array of schemas that is not empty")
        return [self._subschema(one, f"{place}/{at}", self._depth + 1) for at, one in enumerate(given)]

    def _named(self, keyword: str) -> dict[str, Subschema]:
        if keyword not in self._raw:
            return {}
        given, place = self._raw[keyword], f"{self._node.place}/{keyword}"
        if not isinstance(given, dict):
            refuse(place, "must be an object of schemas")
        return {name: self._subschema(one, f"{place}/{name}", self._depth + 1) for name, one in given.items()}

    def _count(self, keyword: str) -> int | None:
        try:
            return count_in(self._raw[keyword]) if keyword in self._raw else None
        except ValueError as error:
            refuse(f"{self._node.place}/{keyword}", str(error))


def _is_scalar(raw: dict[str, Any]) -> bool:
    """Whether a subschema says of itself that only scalars satisfy it."""
    if "type" in raw and set(types_in(raw["type"])) <= SCALARS:
        return True
    allowed = [raw["const"]] if "const" in raw else raw.get("enum")
    return allowed is not None and not any(isinstance(one, list | dict) for one in allowed)


def _cost_of(raw: dict[str, Any]) -> int:
    """Return what the longer lists of a subschema cost each value that is held to it."""
    lists = (raw.get(keyword) for keyword in ("required", "properties", "dependentSchemas"))
    names = sum(len(one) for one in lists if isinstance(one, list | dict))  # what is neither is refused when it is read
    names += size_of(raw.get("dependentRequired"))
    # A scalar is looked up, however many are allowed.
    allowed = [raw.get("const"), *raw.get("enum", ())]
    compared = sum(size_of(one) for one in allowed if isinstance(one, list | dict))
    divided = _FRACTION if "multipleOf" in raw else 0
    return names // _NAMES_A_STEP + compared // _VALUES_A_STEP + divided
