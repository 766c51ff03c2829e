"""The demo, as a person starts it: it answers with real tokens, or serves, and leaves no process behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # has no stubs
import pytest

from moa_server.embedded.model_endpoint import local_model

NAMED = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "MODELS")


@asynccontextmanager
async def demo(*arguments: str, **named: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {name: value for name, value in os.environ.items() if name not in NAMED}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moa_server.embedded.demo", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment | named,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def serving(process: asyncio.subprocess.Process) -> str:
    """The address it serves on, once it says so."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if line.startswith("Serving on "):
            return line.removeprefix("Serving on ").split(". ")[0]
    assert process.stderr is not None
    pytest.fail((await process.stderr.read()).decode())


@pytest.mark.usefixtures("installed")
async def test_question_is_answered_by_the_local_model_and_its_size_is_admitted() -> None:
    async with demo("--ask", "Why is the sky blue?") as process:
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert "not the quality of mixtures" in output.decode()
    assert "practical" in errors.decode(), "the layers are shown beside the answer"


@pytest.mark.usefixtures("installed")
async def test_named_endpoint_takes_the_place_of_the_local_model() -> None:
    async with local_model() as served:
        named = {"OPENAI_BASE_URL": served.url, "OPENAI_API_KEY": served.key, "MODELS": served.name}
        async with demo("--mixture", "starter", **named) as process:
            output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert output.decode().startswith(f"Models at {served.url}: {served.name}.")


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_serving_and_every_child(number: signal.Signals, ends: Callable[..., bool]) -> None:
    async with demo("--serve", "--listen", "127.0.0.1:0") as process:
        await serving(process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        await process.communicate()
    assert process.returncode == 0
    assert len(children) >= 2
    assert all(ends(child.pid, 0) for child in children)


@pytest.mark.usefixtures("installed")
@pytest.mark.skipif(sys.platform != "linux", reason="the tie to the parent is Linux's")
async def test_killed_demo_leaves_no_process_behind(ends: Callable[..., bool], tmp_path: Path) -> None:
    async with demo("--serve", "--listen", "127.0.0.1:0", TMPDIR=str(tmp_path)) as process:
        await serving(process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        await process.communicate()
    assert all([await asyncio.to_thread(ends, child.pid) for child in children])


@pytest.mark.usefixtures("installed")
async def test_end_of_a_child_ends_the_demo_with_its_last_words() -> None:
    async with demo("--serve", "--listen", "127.0.0.1:0") as process:
        await serving(process)
        model = next(c for c in psutil.Process(process.pid).children() if "moa_server.embedded.llama" in c.cmdline())
        model.kill()
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert "demo: local model ended with -9" in errors.decode()


async def test_half_an_endpoint_is_refused_in_a_sentence() -> None:
    async with demo(MODELS="a,b") as process:
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("demo: MODELS is set but OPENAI_BASE_URL is not")


async def test_help_shows_other_endpoints() -> None:
    async with demo("--help") as process:
        output, _ = await process.communicate()
    assert b"Ollama" in output
    assert b"vLLM" in output
