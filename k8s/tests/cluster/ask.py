"""Asks from inside the cluster: opens streams side by side and tells, as one line of JSON, how they ended."""

import argparse
import asyncio
import json

import moa


async def stream(client: moa.AsyncClient, mixture: str) -> tuple[str, bool]:
    """Return how one stream ended, and whether another server took its run over."""
    adopted = False
    try:
        async with client.synthesize("hello", mixture=mixture, timeout=58) as events:
            async for event in events:
                adopted |= event.HasField("run_adopted")
            answer = await events.answer()
    except moa.MoaError as error:
        return f"{type(error).__name__}: {error}", adopted
    words = answer.text.split()
    whole = words == [f"word-{number}" for number in range(1, len(words) + 1)] and words
    return "whole" if whole else "torn", adopted


async def main() -> None:
    """Open the streams, and print what became of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", default="dns:///moa-server-headless:50051")
    parser.add_argument("--mixture", default="quick")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--every", type=float, default=0.0, metavar="SECONDS")
    said = parser.parse_args()
    async with moa.AsyncClient(said.target) as client:
        tasks = []
        for _ in range(said.streams):
            tasks.append(asyncio.create_task(stream(client, said.mixture)))
            await asyncio.sleep(said.every)
        print("started", flush=True)  # noqa: T201 - the test waits for it
        ends = await asyncio.gather(*tasks)
    told = {"ends": [end for end, _ in ends], "adopted": sum(adopted for _, adopted in ends)}
    print(json.dumps(told), flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    asyncio.run(main())
