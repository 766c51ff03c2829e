"""A child process says when it is ready, and is always ended."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest

from moa_server.embedded.child import ChildDiedError, ChildSlowError, running
from moa_server.embedded.parent_death import tied

READY = 'print(\'{"ready": "here"}\', flush=True);'
WAIT = "import signal; signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"


def python(code: str) -> tuple[str, str, str]:
    return (sys.executable, "-c", code)


async def test_ready_line_is_found_behind_other_output() -> None:
    async with running("child", *python(f"print('hello'); print('[]'); {READY} {WAIT}")) as child:
        assert child.ready == "here"


async def test_child_that_dies_before_it_is_ready_is_an_error_with_its_last_words() -> None:
    with pytest.raises(ChildDiedError, match="child ended with 1") as caught:
        async with running("child", *python("raise SystemExit('no luck')")):
            pytest.fail("it was ready")
    assert caught.value.tail == "no luck"


async def test_child_that_is_never_ready_is_an_error_and_is_ended() -> None:
    with pytest.raises(ChildSlowError, match=r"not ready in 0\.1 s"):
        async with running("child", *python(WAIT), ready_within=0.1):
            pytest.fail("it was ready")


async def test_child_that_ignores_the_request_to_end_is_killed(ends: Callable[..., bool]) -> None:
    async with running("child", *python(DEAF + READY + WAIT), patience=0.05) as child:
        pid = child.pid
    assert ends(pid, 0)


async def test_child_is_ended_when_the_block_is_cancelled(ends: Callable[..., bool]) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def hold() -> None:
        async with running("child", *python(READY + WAIT)) as child:
            started.set_result(child.pid)
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    pid = await started
    holding.cancel()
    await asyncio.wait({holding})
    assert ends(pid, 0)


async def test_much_output_after_the_ready_line_blocks_nobody() -> None:
    code = f"{READY} print('x' * 3_000_000, flush=True); raise SystemExit('through')"
    async with running("child", *python(code)) as child:
        assert (await child.died()).tail == "through"


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is Linux's")
async def test_tied_command_ends_when_its_parent_is_killed(ends: Callable[..., bool]) -> None:
    inner = python(f"print('up', flush=True); {WAIT}")
    code = (
        "import subprocess; from moa_server.embedded.parent_death import tied;"
        f"child = subprocess.Popen(tied(*{inner!r}), stdout=subprocess.PIPE);"
        f"child.stdout.readline(); print(child.pid, flush=True); {WAIT}"
    )
    parent = await asyncio.create_subprocess_exec(*python(code), stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.communicate()
    assert await asyncio.to_thread(ends, pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is Linux's")
def test_tie_refuses_a_parent_that_has_ended() -> None:
    module, *rest = tied(*python("pass"))[1:4], *python("print('ran')")
    ended = subprocess.run([sys.executable, *module[:2], "1", *rest], capture_output=True, check=False)
    assert b"has ended" in ended.stderr
    assert ended.stdout == b""
