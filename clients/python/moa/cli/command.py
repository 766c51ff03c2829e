"""Reads a ``moa`` command line and carries it out."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from moa import errors
from moa.channel import Tls
from moa.cli.lines import closed_line, mixture_lines, one_line, plan_lines, safe
from moa.cli.view import print_json, view
from moa.sync_client import Client
from moa.sync_stream import Stream
from moa.terms import DEFAULT_TIMEOUT, token_file
from moa.translation import answer_of, member_name, reason_name
from moa.v1.run_pb2 import RunState

OK, FAILED, WRONG, UNREACHABLE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 3, 130, 141

_EPILOG = """exit codes: 0 answered, 1 the run or the call failed, 2 the request is wrong,
3 no server could be reached, 130 interrupted. MOA_TARGET names the server when --target does not."""

_AWAY = (errors.Unreachable, errors.StreamCut, errors.ShuttingDown, errors.Overloaded, errors.JournalUnavailable)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command line and return its exit code."""
    _prepare_terminal()
    options = parser().parse_args(argv)
    tls = Tls(roots=options.ca) if options.tls or options.ca else None
    token = token_file(options.token_file) if options.token_file else None
    try:
        with Client(options.target, token=token, tls=tls, timeout=options.timeout or DEFAULT_TIMEOUT) as client:
            code: int = options.carry_out(client, options)
            return code
    except errors.MoaError as error:
        _complain(told(error))
        if isinstance(error, _AWAY):
            return UNREACHABLE
        return WRONG if isinstance(error, errors.RequestError) else FAILED
    except BrokenPipeError:
        # Nothing is left that could fail when the interpreter flushes at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return PIPE_CLOSED
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED


def parser() -> ArgumentParser:
    """Return the parser of the whole command; each command names the function that carries it out."""
    root = ArgumentParser("moa", description="Ask a mixture of agents.", epilog=_EPILOG)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _common_options()
    question = ArgumentParser(add_help=False)
    question.add_argument("question", help="what is asked; - reads it from standard input")
    question.add_argument("--mixture", default="", metavar="NAME", help="the mixture, else the server's default")
    run = ArgumentParser(add_help=False)
    run.add_argument("run_id", metavar="RUN_ID", help="the run")
    layers = ArgumentParser(add_help=False)
    layers.add_argument("--no-layers", dest="layers", action="store_false", help="show the answer alone")

    ask = commands.add_parser("ask", parents=[common, question, layers], help="ask, and show the layers and the answer")
    ask.add_argument("--request-id", default="", metavar="ID", help="your own id: asking again finds the same run")
    ask.add_argument("--detach", action="store_true", help="let the run go on when this command ends")
    ask.set_defaults(carry_out=_ask)
    watch = commands.add_parser("watch", parents=[common, run, layers], help="show a run from its start")
    watch.set_defaults(carry_out=_watch)
    explain = commands.add_parser(
        "explain", parents=[common, question], help="show the plan and its worst case; call no model"
    )
    explain.set_defaults(carry_out=_explain)
    commands.add_parser("mixtures", parents=[common], help="list the mixtures").set_defaults(carry_out=_mixtures)
    commands.add_parser("cancel", parents=[common, run], help="cancel a run").set_defaults(carry_out=_cancel)
    layer = commands.add_parser("layer", parents=[common, run], help="show a closed layer of a run")
    layer.add_argument("index", type=int, help="the layer's number, from 0")
    layer.add_argument("--wait", type=_seconds, metavar="SECONDS", help="how long to wait for it to close")
    layer.set_defaults(carry_out=_layer)
    return root


def _common_options() -> ArgumentParser:
    common = ArgumentParser(add_help=False)
    target = os.environ.get("MOA_TARGET") or "localhost:50051"
    common.add_argument("--target", default=target, metavar="HOST:PORT", help="the server (now: %(default)s)")
    common.add_argument("--json", action="store_true", help="print the contract's messages, one JSON object a line")
    common.add_argument("--timeout", type=_seconds, default=None, metavar="SECONDS", help="how long to wait in all")
    common.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the token that proves who calls")
    common.add_argument("--tls", action="store_true", help="speak TLS")
    common.add_argument("--ca", type=Path, metavar="FILE", help="speak TLS and trust these authorities (PEM)")
    return common


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError("a positive number of seconds is expected")
    return seconds


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
    end = None
    with view(json=options.json, layers=options.layers) as shown, stream:
        for event in stream:
            shown.show(event, stream.run_id)
            end = event
    answer_of(end, stream.run_id)
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
        print(f"run {one_line(run.run_id)} {member_name(RunState.DESCRIPTOR, run.state, 'RUN_STATE_').lower()}")
    return OK


def _layer(client: Client, options: Namespace) -> int:
    layer = client.layer_result(options.run_id, options.index, wait=options.wait)
    if options.json:
        print_json(layer)
        return OK
    print(closed_line(layer.summary))
    for proposal in layer.proposals:
        print(f"\n{one_line(proposal.agent)} ({one_line(proposal.model)}):\n{safe(proposal.text)}")
    for failure in layer.failures:
        print(f"\n{one_line(failure.agent)} failed: {reason_name(failure.reason)} {one_line(failure.detail)}")
    return OK


def _question(options: Namespace) -> str:
    if options.question == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace") if sys.stdin else ""
    return os.fsencode(options.question).decode("utf-8", "replace")


def told(error: errors.MoaError) -> str:
    """Return an error on one line, with what would help to mend it."""
    parts = [str(error)]
    parts += [f"{violation.field}: {violation.description}" for violation in error.violations]
    parts += [f"{cause.metadata.get('agent', 'agent')}: {cause.reason}" for cause in error.causes]
    if error.trace_id:
        parts.append(f"trace {error.trace_id}")
    return "; ".join(parts)


def _complain(text: str) -> None:
    print(f"moa: {one_line(text)}", file=sys.stderr, flush=True)


def _prepare_terminal() -> None:
    """Stand in for streams the shell closed, and never fail at a character the terminal does not know."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log lines would run through what is drawn
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - lives as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
