"""The dialects that the upstream speaks: a file each, with the dialect's own name, whose ``WIRE`` is found by it."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from tests.upstream.wire import Wire

WIRES: Final[Mapping[str, type[Wire]]] = {
    module.name: import_module(f"{__name__}.{module.name}").WIRE for module in iter_modules(__path__)
}
"""By the dialect's name: a file more is all that a new one needs."""


def dialect_of(path: str) -> str:
    """Return the dialect of a question by the path it came on; one that is nobody's is taken for chat completions."""
    path = path.partition("?")[0]
    return next((name for name, wire in WIRES.items() if path.endswith(wire.path)), "openai")
