"""Asks the same question again and again, over one channel that is balanced over all servers."""

import asyncio
import os
import signal
import sys

import moa


async def ask(client: moa.AsyncClient, question: str) -> None:
    """Ask once and tell how it went."""
    try:
        answer = await client.query(question, timeout=300)
    except moa.MoaError as error:
        print(f"refused: {error}", file=sys.stderr, flush=True)
    else:
        print(answer, flush=True)


async def main() -> None:
    """Ask until told to stop."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    every_s = float(os.environ["EVERY_SECONDS"])
    async with moa.AsyncClient(os.environ["MOA_TARGET"]) as client:
        while not stopped.is_set():
            await ask(client, os.environ["QUESTION"])
            try:
                await asyncio.wait_for(stopped.wait(), every_s)
            except TimeoutError:
                continue


if __name__ == "__main__":
    asyncio.run(main())
