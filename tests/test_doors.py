"""What one room takes from another passes its door, and a name stands for one thing."""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER, CLIENT = ROOT / "server" / "moa_server", ROOT / "clients" / "python" / "moa"
ROOMS = ("engine", "journal", "models", "providers", "security", "service", "settings", "strategies", "telemetry")
OPEN = {"moa_server.telemetry.names"}
"""Modules that whoever makes spans or figures takes from as they are."""
SAME_NAME = {
    "server": {"RunCancelled": "the error, and the event of the contract"},
    "clients": dict[str, str](),
}
"""Classes that share a name on purpose, and why."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def sources(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*.py") if path.parent != CLIENT / "v1")  # which is generated


def room_of(path: Path) -> str:
    """The room that a file is in; a file beside the rooms is one of its own."""
    return path.relative_to(SERVER).parts[0].removesuffix(".py")


def taken(path: Path) -> Iterator[tuple[str, str]]:
    """What a file imports of the server: the module, and the name taken from it, empty where it is taken whole."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("moa_server"):
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("moa_server"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_is_one_sorted_list_of_names_that_another_room_takes(room: str) -> None:
    door = importlib.import_module(f"moa_server.{room}")
    names = list(door.__all__)
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert [name for name in names if not hasattr(door, name)] == []
    others = [path for path in sources(SERVER) if room_of(path) != room]
    wanted = {name for path in others for module, name in taken(path) if module == f"moa_server.{room}"}
    assert [name for name in names if name not in wanted] == [], "nobody takes these"


def test_a_room_takes_from_another_only_what_its_door_offers() -> None:
    past = [
        f"{path.relative_to(SERVER)}: {module}"
        for path in sources(SERVER)
        for module, name in taken(path)
        if (inside := module.split(".")[1:]) and inside[0] in ROOMS and inside[0] != room_of(path)
        if module not in OPEN and f"{module}.{name}" not in OPEN
        if len(inside) > 1 or name not in importlib.import_module(module).__all__
    ]
    assert past == []


@pytest.mark.parametrize("package", [SERVER, CLIENT], ids=["server", "clients"])
def test_no_two_files_share_a_name(package: Path) -> None:
    names = sorted(path.name for path in sources(package) if path.name not in {"__init__.py", "__main__.py"})
    assert [name for name, same in groupby(names) if len(list(same)) > 1] == []


@pytest.mark.parametrize("package", [SERVER, CLIENT], ids=["server", "clients"])
def test_no_two_classes_share_a_name(package: Path) -> None:
    classes = sorted(
        node.name for path in sources(package) for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)
    )
    twice = {name for name, same in groupby(classes) if len(list(same)) > 1}
    assert twice == SAME_NAME[package.relative_to(ROOT).parts[0]].keys()
