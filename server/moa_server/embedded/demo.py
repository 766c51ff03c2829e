"""Asks a mixture of agents a question on this machine, with real tokens and nothing to set up."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from moa_server.embedded import EmbeddedError
from moa_server.embedded.child import STOP_SECONDS, Child, ended, running
from moa_server.embedded.demo_configuration import configuration
from moa_server.embedded.model_endpoint import model_endpoint
from moa_server.embedded.parent_death import tied

QUESTION = "Why is the sky blue?"
LISTEN = "127.0.0.1:50051"
SIGNALLED = 128  # what a shell adds to the number of the signal that ended a command
EXAMPLES = """\
Without further settings a small model is served on this machine: real tokens through the real plumbing,
not the quality that mixtures are for. Any OpenAI-compatible endpoint takes its place; proposers are spread
over the models named, and the last one named aggregates:

  Ollama   OPENAI_BASE_URL=http://127.0.0.1:11434/v1 MODELS=llama3.2,qwen2.5
  vLLM     OPENAI_BASE_URL=http://127.0.0.1:8000/v1 MODELS=Qwen/Qwen2.5-7B-Instruct
  others   OPENAI_BASE_URL=https://…/v1 OPENAI_API_KEY=… MODELS=a,b,c
"""
SMALL = (
    "The model served here is small (135 million parameters): it shows the plumbing with real tokens, "
    "not the quality of mixtures."
)


class CommandMissingError(EmbeddedError):
    """A command of moa is not installed beside this Python."""


def main() -> None:
    """The command line of the demo."""
    parser = argparse.ArgumentParser(
        prog="moa_server.embedded.demo",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ask", metavar="QUESTION", default=QUESTION, help=f"what to ask (default: {QUESTION})")
    parser.add_argument("--mixture", default="demo", help="demo (three voices, one aggregator) or starter (two)")
    parser.add_argument("--serve", action="store_true", help="keep serving until Ctrl-C; ask nothing")
    parser.add_argument("--listen", metavar="ADDRESS", default=LISTEN, help=f"with --serve (default: {LISTEN})")
    arguments = parser.parse_args()
    try:
        code = asyncio.run(_until_signalled(_demo(arguments)))
    except EmbeddedError as error:
        raise SystemExit(f"demo: {error}") from None
    raise SystemExit(0 if arguments.serve else code)  # a signal is how serving ends


async def _demo(arguments: argparse.Namespace) -> int:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(model_endpoint())
        where = SMALL if served.child else f"Models at {served.url}: {', '.join(served.models)}."
        print(f"{where}\n", flush=True)
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="moa-demo-")), "moa.yaml")
        listen = arguments.listen if arguments.serve else "127.0.0.1:0"
        await asyncio.to_thread(path.write_text, configuration(served, listen), encoding="utf-8")
        command = tied(_command("moa-server"), "serve", "--config", str(path))
        environment, echo = served.environment, arguments.serve
        server = await stack.enter_async_context(running("moa-server", *command, environment=environment, echo=echo))
        children = [child for child in (server, served.child) if child]
        work = _keep(server, arguments.mixture) if arguments.serve else _ask(server, arguments)
        return await _unless_one_dies(work, children)


async def _ask(server: Child, arguments: argparse.Namespace) -> int:
    """Runs the client's command in our own session, so that it has the terminal and shows the layers live."""
    command = tied(_command("moa"), "ask", "--target", server.ready, "--mixture", arguments.mixture, arguments.ask)
    asking = await asyncio.create_subprocess_exec(*command)
    try:
        code = await asking.wait()
        return code if code >= 0 else SIGNALLED - code
    finally:
        await ended(asking, STOP_SECONDS)


async def _keep(server: Child, mixture: str) -> int:
    ask = f'moa ask --target {server.ready} --mixture {mixture} "{QUESTION}"'
    print(f"Serving on {server.ready}. In another terminal:\n\n  {ask}\n\nCtrl-C ends it.", flush=True)
    forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    return await forever


async def _unless_one_dies(work: Coroutine[Any, Any, int], children: list[Child]) -> int:
    """Carries `work` through, or raises the error of the first child that ends before it."""
    working = asyncio.ensure_future(work)
    deaths = [asyncio.ensure_future(child.died()) for child in children]
    try:
        await asyncio.wait({working, *deaths}, return_when=asyncio.FIRST_COMPLETED)
        for death in deaths:
            if death.done() and not working.done():
                raise death.result()
        return working.result()
    finally:
        for task in (working, *deaths):
            task.cancel()
        await asyncio.wait({working, *deaths})


async def _until_signalled(work: Coroutine[Any, Any, int]) -> int:
    """Carries `work` through; Ctrl-C or SIGTERM cancels it, once, so that everything is stopped in order."""
    working = asyncio.ensure_future(work)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await working
    except asyncio.CancelledError:
        if not received:
            raise
        return SIGNALLED + received[0]


def _command(name: str) -> str:
    """The command as installed beside this Python, else wherever the shell would find it."""
    places = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
    found = shutil.which(name, path=places)
    if not found:
        raise CommandMissingError(f"the command {name} is not installed for {sys.executable}: run make setup")
    return found


if __name__ == "__main__":
    main()
