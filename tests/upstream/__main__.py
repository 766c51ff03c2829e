"""Serves the scripted upstream as a process of its own, for measurements: prints its endpoint, lives until stdin ends.

A model's name says what it does: ``tokens-200-first-50-each-5`` speaks 200 tokens, the first after 50 ms, 5 ms apart;
any other name gives a short answer at once.
"""

import argparse
import asyncio
import re
import sys
from functools import lru_cache

from tests.upstream.scripts import Speech
from tests.upstream.server import Upstream
from tests.upstream.stage import Request

_NAME = re.compile(r"tokens-(\d+)-first-([\d.]+)-each-([\d.]+)")


@lru_cache(maxsize=256)
def _speech(model: str) -> Speech:
    match = _NAME.search(model)
    if match is None:
        return Speech("This is a short answer.")
    return Speech(tokens=int(match[1]), first_token_s=float(match[2]) / 1000, token_s=float(match[3]) / 1000)


def _by_name(request: Request) -> Speech:
    return _speech(request.model)


async def _serve(port: int) -> None:
    async with Upstream(port=port) as upstream:
        upstream.remembers = False
        upstream.script("*", _by_name)
        print(upstream.endpoint, flush=True)  # noqa: T201 - how its starter learns the port
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    try:
        import uvloop  # noqa: PLC0415 - where there is one
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
