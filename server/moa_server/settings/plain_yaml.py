"""Reads YAML as plain data: the core schema of YAML 1.2, no duplicate keys, aliases within bounds.

The core schema is what editors check against: ``on`` and ``no`` are texts there, and a date is one too.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

from moa_server.settings.problem import ConfigurationRefused, Place, Problem

_DEEPEST = 32
_MOST_NODES = 50_000
"""Written in the file; reading them is what costs time."""
_MOST_VALUES = 50_000
"""With every alias written out."""
_TAG = "tag:yaml.org,2002:"
_STRING = _TAG + "str"
_MERGE = "<<"


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_SCALARS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    _TAG + "null": (re.compile(r"^(?:~|null|Null|NULL|)$"), lambda _: None),
    _TAG + "bool": (re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), lambda text: text.lower() == "true"),
    _TAG + "int": (
        re.compile(r"^(?:[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15})$", re.ASCII),
        lambda text: int(text, 0) if text[:2] in {"0o", "0x"} else int(text),
    ),
    _TAG + "float": (
        re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", re.ASCII),
        _float,
    ),
}


class _CoreLoader(yaml.SafeLoader):
    """Composes nodes; constructs nothing."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - the library's own form
    _depth = 0
    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        if self._depth > _DEEPEST or self._nodes > _MOST_NODES:
            too_much = f"more than {_DEEPEST} levels or {_MOST_NODES} values"
            raise yaml.MarkedYAMLError(problem=too_much, problem_mark=self.get_mark())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _tag, (_pattern, _) in _SCALARS.items():
    _CoreLoader.add_implicit_resolver(_tag, _pattern, None)


def parse(text: str) -> Any:  # noqa: ANN401 - plain data of any shape
    """Return the one document of a text.

    Raises:
        ConfigurationRefused: it is no YAML, or YAML that is not accepted.
    """
    node = _compose(text)
    if node is None:
        return None
    reading = _Reading()
    data = reading.value(node, ())
    if reading.problems:
        raise ConfigurationRefused(reading.problems)
    return data


def _compose(text: str) -> yaml.Node | None:
    try:
        loader = _CoreLoader(text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n"), error.position - before.rfind("\n") - 1
        raise _not_yaml(line, column, "a character that YAML does not allow") from None
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or loader.get_mark()
        raise _not_yaml(mark.line, mark.column, error.problem or "cannot be read") from None
    except (ValueError, OverflowError):  # from an escape such as "\UFFFFFFFF"
        raise _not_yaml(loader.line, loader.column, "an escape that stands for no character") from None


def _not_yaml(line: int, column: int, what: str) -> ConfigurationRefused:
    """Refuse a place, its line and column counted from 0."""
    where = f"line {line + 1}, column {column + 1}"
    sentence = f"is not valid YAML at {where}: {what}; correct what stands there or just before"
    return ConfigurationRefused([Problem((), sentence)])


class _Reading:
    """Turns nodes into plain data and notes what is not accepted."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._values = 0

    def value(self, node: yaml.Node, place: Place) -> Any:  # noqa: ANN401 - plain data of any shape
        self._values += 1
        if self._values > _MOST_VALUES or len(place) > _DEEPEST:
            raise ConfigurationRefused(
                [Problem((), f"holds more than {_MOST_VALUES} values or {_DEEPEST} levels; use fewer aliases")]
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if node.tag not in {_TAG + "seq", _TAG + "map"}:
            return self._refuse_tag(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*place, index)) for index, child in enumerate(node.value)]
        return self._mapping(node, place)

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:  # noqa: ANN401 - plain data of any shape
        if node.tag == _STRING:
            return self._text(node, place)
        pattern, convert = _SCALARS.get(node.tag, (None, str))
        if pattern is None:
            return self._refuse_tag(node, place)
        try:
            if pattern.fullmatch(node.value):
                return convert(node.value)
        except ValueError:
            pass
        return self._refuse(node, place, "is not a value of its kind", "give a finite number, true, false or a text")

    def _text(self, node: yaml.ScalarNode, place: Place) -> str:
        text: str = node.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._refuse(node, place, "holds half a character", "write the whole character")
        return text

    def _mapping(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, child in node.value:
            if key.tag != _STRING or not isinstance(key, yaml.ScalarNode):
                self._refuse(key, place, "a key is not a text", "put it into quotes")
            elif key.value == _MERGE and key.style is None:
                merged = self._merged(child, place) | merged
            elif key.value in own:
                line = f"is said twice, in lines {lines[key.value]} and {key.start_mark.line + 1}"
                self.problems.append(Problem((*place, key.value), f"{line}; keep one"))
            else:
                lines[key.value] = key.start_mark.line + 1
                own[self._text(key, place)] = self.value(child, (*place, key.value))
        return merged | own

    def _merged(self, node: yaml.Node, place: Place) -> dict[str, Any]:
        value = self.value(node, (*place, _MERGE))
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            self._refuse(node, (*place, _MERGE), "is no mapping", "name an anchor of a mapping")
            return {}
        return {key: part[key] for part in reversed(parts) for key in part}

    def _refuse_tag(self, node: yaml.Node, place: Place) -> None:
        self._refuse(node, place, "has a tag that is not accepted", "write the plain value")

    def _refuse(self, node: yaml.Node, place: Place, wrong: str, right: str) -> None:
        self.problems.append(Problem(place, f"{wrong} (line {node.start_mark.line + 1}); {right}"))
