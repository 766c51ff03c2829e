from importlib.metadata import Distribution, distribution, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = {"googleapis-common-protos", "grpcio", "protobuf", "typing-extensions"}


def needed_by(name: str) -> set[str]:
    """Names what a plain installation of a distribution brings: no extras, the markers of this platform."""
    wanted = (Requirement(line) for line in requires(name) or ())
    return {canonicalize_name(w.name) for w in wanted if w.marker is None or w.marker.evaluate({"extra": ""})}


def closure(name: str) -> set[str]:
    found: set[str] = set()
    open_names = {name}
    while open_names:
        found |= open_names
        open_names = set().union(*map(needed_by, open_names)) - found
    return found - {name}


def modules_of(client: Distribution) -> set[str]:
    return {entry.module for entry in client.entry_points}


def test_the_client_brings_grpc_and_protobuf_and_nothing_else() -> None:
    assert closure("moa-client") <= ALLOWED


def test_the_client_says_what_it_imports() -> None:
    assert {"googleapis-common-protos", "grpcio", "protobuf"} <= needed_by("moa-client")


def test_the_closure_sees_what_a_distribution_brings_through_another() -> None:
    assert "httpcore" in closure("moa-server")


def test_the_command_is_the_clients_own() -> None:
    assert modules_of(distribution("moa-client")) == {"moa.cli"}
