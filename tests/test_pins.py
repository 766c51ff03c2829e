import re
from importlib.metadata import distributions, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
OURS = {"moa-client", "moa-server"}
PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+")


def lines(name: str) -> list[str]:
    text = (ROOT / ".ci" / "pins" / f"{name}.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return {canonicalize_name(name): pinned for name, pinned in (line.split("==") for line in lines("constraints"))}


def needs_of_ours() -> set[str]:
    needs: set[str] = {canonicalize_name(Requirement(line).name) for ours in OURS for line in requires(ours) or ()}
    return needs - OURS


def test_constraints_are_plain_pins() -> None:
    assert [line for line in lines("constraints") if not PIN.fullmatch(line)] == []


def test_every_need_of_ours_is_pinned() -> None:
    tools = {canonicalize_name(Requirement(line).name) for line in lines("dev")}
    model = {canonicalize_name(Requirement(line).name) for line in lines("embedded")}
    assert needs_of_ours() | tools | model <= pins().keys()


def test_what_is_pinned_is_what_runs() -> None:
    installed = {canonicalize_name(found.name) for found in distributions()} & pins().keys()
    assert {name: version(name) for name in installed} == {name: pins()[name] for name in installed}


def test_every_package_of_the_setup_is_pinned() -> None:
    reachable, open_names = set[str](), {*OURS, *(Requirement(line).name for line in lines("dev"))}
    while open_names:
        name = canonicalize_name(open_names.pop())
        wanted = [Requirement(line) for line in requires(name) or ()] if name not in reachable else []
        open_names |= {w.name for w in wanted if w.marker is None or w.marker.evaluate({"extra": ""})}
        reachable.add(name)
    assert reachable - OURS - pins().keys() == set()


def test_contributing_gives_a_reason_for_every_need_of_ours() -> None:
    reasons = (ROOT / "CONTRIBUTING.md").read_text().split("## Dependencies")[1].lower()
    assert {name for name in needs_of_ours() if name not in reasons} == set()
