"""Carries out one ``moa`` command."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from moa.channel import Tls
from moa.cli.arguments import parser
from moa.cli.plain_text import one_line, safe
from moa.cli.view import print_json, view
from moa.cli.words import closed_line, mixture_lines, plan_lines
from moa.errors import (
    JournalUnavailable,
    MoaError,
    Overloaded,
    RequestError,
    ShuttingDown,
    StreamCut,
    Unreachable,
)
from moa.outcome import answer_of
from moa.reasons import reason_name
from moa.sync_client import Client
from moa.sync_stream import Stream
from moa.terms import DEFAULT_TIMEOUT, token_file
from moa.v1.run_pb2 import RunState

if TYPE_CHECKING:
    from moa.v1.event_pb2 import Event

OK, FAILED, WRONG, UNREACHABLE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141

_AWAY = (Unreachable, StreamCut, ShuttingDown, Overloaded, JournalUnavailable)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command line and return its exit code."""
    _prepare_terminal()
    options = parser().parse_args(argv)
    try:
        with _client(options) as client:
            return _COMMANDS[options.command](client, options)
    except MoaError as error:
        _complain(_told(error))
        return _exit_code(error)
    except BrokenPipeError:
        _silence()
        return PIPE_CLOSED
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED


def _ask(client: Client, options: Namespace) -> int:
    request_id = options.request_id or uuid4().hex
    stream = client.synthesize(
        _question(options),
        mixture=options.mixture,
        request_id=request_id,
        detached=options.detach,
        proposal_deltas=not options.json,
    )
    try:
        return _follow(stream, options)
    except KeyboardInterrupt:
        if options.detach:
            _complain(f"the run goes on: moa watch {stream.run_id}")
        else:
            client.cancel(stream.run_id, request_id=request_id, timeout=5.0)
            _complain("cancelled")
        return INTERRUPTED


def _watch(client: Client, options: Namespace) -> int:
    return _follow(client.watch(options.run_id), options)


def _follow(stream: Stream, options: Namespace) -> int:
    end: Event | None = None
    with view(json=options.json, layers=options.layers) as shown, stream:
        for event in stream:
            shown.show(event)
            end = event
    answer_of(end)
    return OK


def _explain(client: Client, options: Namespace) -> int:
    plan = client.explain(_question(options), mixture=options.mixture)
    if options.json:
        print_json(plan)
    else:
        print(*plan_lines(plan), sep="\n")
    return OK


def _mixtures(client: Client, options: Namespace) -> int:
    for mixture in client.mixtures():
        if options.json:
            print_json(mixture)
        else:
            print(*mixture_lines(mixture), sep="\n")
    return OK


def _cancel(client: Client, options: Namespace) -> int:
    run = client.cancel(options.run_id)
    if options.json:
        print_json(run)
    else:
        print(f"run {one_line(run.run_id)} {RunState.Name(run.state).removeprefix('RUN_STATE_').lower()}")
    return OK


def _layer(client: Client, options: Namespace) -> int:
    layer = client.layer_result(options.run_id, options.index, wait=options.wait)
    if options.json:
        print_json(layer)
        return OK
    print(closed_line(layer))
    for proposal in layer.proposals:
        print(f"\n{one_line(proposal.agent)} ({one_line(proposal.model)}):\n{safe(proposal.text)}")
    for failure in layer.failures:
        print(f"\n{one_line(failure.agent)} failed: {reason_name(failure.reason)} {one_line(failure.detail)}")
    return OK


_COMMANDS: dict[str, Callable[[Client, Namespace], int]] = {
    "ask": _ask,
    "watch": _watch,
    "explain": _explain,
    "mixtures": _mixtures,
    "cancel": _cancel,
    "layer": _layer,
}


def _client(options: Namespace) -> Client:
    tls = Tls(roots=options.ca) if options.tls or options.ca else None
    token = token_file(options.token_file) if options.token_file else None
    return Client(options.target, token=token, tls=tls, timeout=options.timeout or DEFAULT_TIMEOUT)


def _question(options: Namespace) -> str:
    if options.question == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace") if sys.stdin else ""
    return os.fsencode(options.question).decode("utf-8", "replace")


def _told(error: MoaError) -> str:
    """Return an error on one line, with what would help to mend it."""
    told = [str(error)]
    told += [f"{violation.field}: {violation.description}" for violation in error.violations]
    told += [f"{cause.metadata.get('agent', 'agent')}: {cause.reason}" for cause in error.causes]
    if error.trace_id:
        told.append(f"trace {error.trace_id}")
    return "; ".join(told)


def _complain(text: str) -> None:
    print(f"moa: {one_line(text)}", file=sys.stderr, flush=True)


def _exit_code(error: MoaError) -> int:
    if isinstance(error, _AWAY):
        return UNREACHABLE
    return WRONG if isinstance(error, RequestError) else FAILED


def _prepare_terminal() -> None:
    """Stand in for streams the shell closed, and never fail at a character the terminal does not know."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log lines would run through what is drawn
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - lives as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _silence() -> None:
    """Leave nothing that could fail when the interpreter flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
