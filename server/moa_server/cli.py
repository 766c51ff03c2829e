"""The command line of the server: serve, check, migrate, schema."""

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeVar

from moa_server.domain.errors import MoaError
from moa_server.journal import JOURNALS
from moa_server.main import choices, explaining, serve
from moa_server.providers import unsent_settings
from moa_server.service import AddressUnavailable, CertificateRefused, loop_factory
from moa_server.settings import ConfigurationRefused, json_schema, load, render_check

_Error = TypeVar("_Error", bound=Exception)

_REFUSED: Final = 1
_GARBAGE: Final = (20_000, 10, 10)
"""Objects, and rounds of the younger generation, before each generation is searched; a tenth of a run's CPU goes
into Python's own numbers."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command; what is refused is told line by line on the standard error, and ends with status 1."""
    chosen = _parser().parse_args(arguments)
    lines: list[str] = []
    try:
        chosen.run(chosen)
    # With a star, since what goes wrong while the rooms are open comes out of their task groups.
    except* ConfigurationRefused as refused:
        lines += [str(problem) for error in _leaves(refused) for problem in error.problems]
    except* (AddressUnavailable, CertificateRefused, MoaError) as errors:
        lines += map(str, _leaves(errors))
    if lines:
        print(*lines, sep="\n", file=sys.stderr)
        raise SystemExit(_REFUSED)


def _leaves(group: ExceptionGroup[_Error]) -> Iterator[_Error]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="moa-server", description="Mixture of Agents as a gRPC microservice.")
    parser.add_argument("--version", action="version", version=version("moa-server"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, help_text in (
        ("serve", _serve, "serve what a configuration says"),
        ("check", _check, "validate a configuration and show what its mixtures come to"),
        ("migrate", _migrate, "bring the journal's schema up to this version"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--config", type=Path, required=True, metavar="FILE")
        command.set_defaults(run=run)
    commands.add_parser("schema", help="print the JSON Schema of the configuration").set_defaults(run=_schema)
    return parser


def _serve(chosen: argparse.Namespace) -> None:
    settings = load(chosen.config, choices())
    # What was made by the start stays; after that there are few cycles, and looking for them is dear.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(chosen.config, settings, _tell_ready))


def _tell_ready(address: str) -> None:
    # Whoever started the process reads this line, from a pipe as well as from a terminal.
    print(json.dumps({"ready": address}), flush=True)


def _check(chosen: argparse.Namespace) -> None:
    settings = load(chosen.config, choices())
    print(render_check(settings, explaining(settings), unsent_settings))


def _migrate(chosen: argparse.Namespace) -> None:
    journal = load(chosen.config, choices()).journal
    migrate = JOURNALS[journal.kind].migrate
    if migrate is None:
        print(f"the journal is in {journal.kind}, and has no schema")
    else:
        print(f"the journal's schema is at step {asyncio.run(migrate(journal.options))}")


def _schema(_chosen: argparse.Namespace) -> None:
    print(json.dumps(json_schema(choices()), indent=2))
