import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import yaml
from structlog.testing import capture_logs

from moa_server.settings import ConfigurationRefused, Reloader, Settings, load
from tests.settings.tiny import CHOICES, plain, write


def described(text: str, **more: object) -> dict[str, object]:
    data = plain() | more
    data["mixtures"]["pair"]["description"] = text
    return data


@asynccontextmanager
async def watching(path: Path, every_s: float = 0.01) -> AsyncIterator[tuple[Reloader, "asyncio.Queue[object]"]]:
    """A reloader at work, and what it did: a description taken over, or a refusal."""
    did: asyncio.Queue[object] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read(path: Path) -> Settings:
        try:
            return load(path, CHOICES)
        except ConfigurationRefused as error:
            loop.call_soon_threadsafe(did.put_nowait, error)
            raise

    def apply(settings: Settings) -> None:
        did.put_nowait(settings.mixtures["pair"].description)

    reloader = Reloader(path, load(path, CHOICES), read=read, apply=apply, every_s=every_s)
    task = asyncio.create_task(reloader.watch())
    try:
        yield reloader, did
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_changed_file_is_taken_over(tmp_path: Path) -> None:
    path = write(tmp_path, described("first"))
    async with watching(path) as (_, did):
        write(tmp_path, described("the second"))
        assert await did.get() == "the second"


async def test_a_signal_reads_it_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, described("first"))
    async with watching(path, every_s=3600) as (reloader, did):
        reloader.ask()
        assert await did.get() == "first"


async def test_a_volume_swapped_as_a_whole_is_a_change(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, described(name))
    (tmp_path / "data").symlink_to("old")
    path = tmp_path / "moa.yaml"
    path.symlink_to("data/moa.yaml")
    async with watching(path) as (_, did):
        (tmp_path / "next").symlink_to("new")
        (tmp_path / "next").replace(tmp_path / "data")
        assert await did.get() == "new"


async def test_a_bad_file_is_logged_and_the_old_one_stays(tmp_path: Path) -> None:
    path = write(tmp_path, described("first"))
    with capture_logs() as logs:
        async with watching(path) as (_, did):
            write(tmp_path, described("bad", limits={"layrs": 2}))
            assert isinstance(await did.get(), ConfigurationRefused)
            write(tmp_path, described("good again"))
            assert await did.get() == "good again"
    refused = [line for line in logs if line["event"] == "configuration.refused"]
    assert refused[0]["problems"] == ["limits.layrs: there is no key 'layrs'; did you mean 'layers'?"]


async def test_what_needs_a_restart_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, described("first"))
    with capture_logs() as logs:
        async with watching(path) as (_, did):
            write(tmp_path, described("second", server={"listen": "127.0.0.1:1"}, limits={"messages": 7}))
            assert await did.get() == "second"
    (line,) = [line for line in logs if line["event"] == "configuration.needs_restart"]
    assert line["keys"] == ["server.listen", "limits"]


async def test_a_file_that_vanishes_and_comes_back_is_taken_over(tmp_path: Path) -> None:
    path = write(tmp_path, described("first"))
    async with watching(path) as (_, did):
        path.unlink()
        assert isinstance(await did.get(), ConfigurationRefused)
        path.write_text(yaml.safe_dump(described("back")))
        while (done := await did.get()) != "back":  # a half-written file is refused first
            assert isinstance(done, ConfigurationRefused)
