"""A section follows from its dataclass alone, whoever writes the dataclass."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from moa_server.domain.model import Secret
from moa_server.domain.quantities import Bytes, Called, Length, Mark, Name, Nanodollars, Range, Seconds, Words
from moa_server.settings.derived import MarkedType, keys_of, leaves
from moa_server.settings.reader import Surroundings, reader_of
from moa_server.settings.secret import EnvironmentSecret
from moa_server.settings.validation import read_section


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast it goes."""

    steps: Annotated[int, Range(least=1), Mark.ALONE] = 1
    """How many."""
    pause_s: Seconds = 0.0
    """How long between them."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of many."""

    label: Annotated[str, Mark.OWN_NAME]
    size: Bytes = 1024
    """How large."""


@dataclass(frozen=True, slots=True)
class Toy:
    """What can be said of a toy."""

    mood: Literal["calm", "wild"]
    """How it feels."""
    loud: Annotated[bool, Called("voice"), Words("loud", "soft")] = False
    """How it speaks."""
    price_nanousd: Annotated[Nanodollars, Called("usd")] | None = None
    """What it costs."""
    pace: Annotated[Pace, Mark.FLAT] = Pace()
    gait: Pace = Pace()
    parts: Mapping[Name, Part] = field(default_factory=dict)
    """What it is made of."""
    key: Secret | None = None
    """Where its key is kept."""
    box: Path | None = None
    """Where it lies."""
    extra: bool | float | Annotated[tuple[str, ...], Length(most=2)] = False
    """Of three forms."""
    made: Annotated[int, Mark.INTERNAL] = 7

    def __post_init__(self) -> None:
        if self.loud and self.mood == "calm":
            raise ValueError("loud: does not go with calm; write soft")


ARM = Part("arm")


def read(**data: Any) -> tuple[Toy | None, list[str]]:  # noqa: ANN401 - plain data of any shape
    toy, problems = read_section(Toy, {"mood": "wild", **data}, ("toy",), Surroundings(Path("/here"), {}))
    return toy, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("data", "toy"),
    [
        ({}, Toy("wild")),
        ({"voice": "loud", "usd": 0.5}, Toy("wild", loud=True, price_nanousd=500_000_000)),
        ({"steps": 3, "pause": "500ms"}, Toy("wild", pace=Pace(3, 0.5))),
        ({"gait": {"pause": 2}}, Toy("wild", gait=Pace(1, 2.0))),
        ({"gait": 4}, Toy("wild", gait=Pace(4))),
        ({"parts": {"arm": {}, "leg": {"size": "2KiB"}}}, Toy("wild", parts={"arm": ARM, "leg": Part("leg", 2048)})),
        ({"key": {"env": "TOY"}, "box": "under"}, Toy("wild", key=EnvironmentSecret("TOY"), box=Path("/here/under"))),
        ({"extra": ["a"]}, Toy("wild", extra=("a",))),
        ({"extra": 0.5}, Toy("wild", extra=0.5)),
    ],
)  # fmt: skip
def test_it_is_read(data: dict[str, Any], toy: Toy) -> None:
    assert read(**data) == (toy, [])


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"moood": "wild"}, "toy.moood: there is no key 'moood'; did you mean 'mood'?"),
        ({"pause_s": 1}, "toy.pause_s: there is no key 'pause_s'; did you mean 'pause'?"),
        ({"made": 1}, "toy.made: there is no key 'made'"),
        ({"steps": 0}, "toy.steps: is too small; it has to be at least 1"),
        ({"gait": 0}, "toy.gait: is too small; it has to be at least 1"),
        ({"gait": {"stps": 1}}, "toy.gait.stps: there is no key 'stps'; did you mean 'steps'?"),
        ({"gait": "fast"}, "toy.gait: has the wrong form; it has to be one of number, mapping"),
        ({"parts": {"arm": {"label": "leg"}}}, "toy.parts.arm.label: there is no key 'label'"),
        ({"voice": True}, "toy.voice: is not one of the choices; write 'loud' or 'soft'"),
        ({"mood": "calm", "voice": "loud"}, "toy.voice: does not go with calm; write soft"),
        ({"extra": ["a", "b", "c"]}, "toy.extra: has too many entries; it may have 2"),
        ({"key": "sesame"}, "toy.key: a secret is never written into the configuration"),
    ],
)
def test_it_is_refused(data: dict[str, Any], problem: str) -> None:
    toy, problems = read(**data)
    assert toy is None
    assert [told[: len(problem)] for told in problems] == [problem]


def test_it_is_described() -> None:
    keys = reader_of(Toy).json_schema()["properties"]
    assert list(keys) == [key.name for key in keys_of(Toy)]
    assert {name: key["default"] for name, key in keys.items() if "default" in key} == {
        "voice": "soft", "steps": 1, "pause": 0.0, "gait": {"steps": 1, "pause": 0.0}, "parts": {}, "extra": False,
    }  # fmt: skip
    assert keys["voice"]["description"] == "How it speaks."
    assert keys["gait"]["description"] == "How fast it goes."


def test_every_value_in_it_is_found_with_its_place() -> None:
    toy, _ = read(steps=2, gait=3, parts={"arm": {"size": 5}}, extra=["a"])
    found = {leaf.place: leaf.value for leaf in leaves(MarkedType(Toy), toy)}
    assert (found["steps",], found["gait", "steps"], found["parts", "arm", "size"]) == (2, 3, 5)
    assert (found["extra",], found["extra", 0]) == (("a",), "a")
    assert ("made",) not in found
