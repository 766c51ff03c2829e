"""Reads the command line."""

import argparse
import os
from pathlib import Path

_EPILOG = """exit codes: 0 answered, 1 the run or the call failed, 2 the request is wrong,
3 no server could be reached, 130 interrupted. MOA_TARGET names the server when --target does not."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    root = argparse.ArgumentParser("moa", description="Ask a mixture of agents.", epilog=_EPILOG)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _common()
    question = _question()
    ask = commands.add_parser("ask", parents=[common, question], help="ask, and show the layers and the answer")
    ask.add_argument("--request-id", default="", metavar="ID", help="your own id: asking again finds the same run")
    ask.add_argument("--detach", action="store_true", help="let the run go on when this command ends")
    _layers(ask)
    watch = commands.add_parser("watch", parents=[common], help="show a run from its start")
    _run(watch)
    _layers(watch)
    commands.add_parser("explain", parents=[common, question], help="show the plan and its worst case; call no model")
    commands.add_parser("mixtures", parents=[common], help="list the mixtures")
    _run(commands.add_parser("cancel", parents=[common], help="cancel a run"))
    layer = commands.add_parser("layer", parents=[common], help="show a closed layer of a run")
    _run(layer)
    layer.add_argument("index", type=int, help="the layer's number, from 0")
    layer.add_argument("--wait", type=_seconds, metavar="SECONDS", help="how long to wait for it to close")
    return root


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    target = os.environ.get("MOA_TARGET") or "localhost:50051"
    common.add_argument("--target", default=target, metavar="HOST:PORT", help="the server (now: %(default)s)")
    common.add_argument("--json", action="store_true", help="print the contract's messages, one JSON object a line")
    common.add_argument("--timeout", type=_seconds, default=None, metavar="SECONDS", help="how long to wait in all")
    common.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the token that proves who calls")
    common.add_argument("--tls", action="store_true", help="speak TLS")
    common.add_argument("--ca", type=Path, metavar="FILE", help="speak TLS and trust these authorities (PEM)")
    return common


def _question() -> argparse.ArgumentParser:
    question = argparse.ArgumentParser(add_help=False)
    question.add_argument("question", help="what is asked; - reads it from standard input")
    question.add_argument("--mixture", default="", metavar="NAME", help="the mixture, else the server's default")
    return question


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_id", metavar="RUN_ID", help="the run")


def _layers(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-layers", dest="layers", action="store_false", help="show the answer alone")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("a positive number of seconds is expected")
    return seconds
