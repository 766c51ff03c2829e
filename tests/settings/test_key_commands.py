"""Keys that programs print: real programs, that hang, fail and print whatever there is."""

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from moa_server.domain.model import ExpiringSecret
from moa_server.settings import KeyCommands
from moa_server.settings.secret import CommandSecret, EnvironmentSecret
from tests.settings.processes import gone, settled

COUNTED = "n=$(($(cat count 2>/dev/null || echo 0) + 1)); echo $n > count; "
EVERY_S = 100.0


@dataclass
class Watch:
    """A clock that is set by hand."""

    moment: float = 1000.0

    def __call__(self) -> float:
        return self.moment


@dataclass
class Desk:
    """A folder with a program in it, and the key that it prints."""

    folder: Path
    watch: Watch = field(default_factory=Watch)

    def program(self, script: str) -> CommandSecret:
        path = self.folder / "print-key"
        path.write_text(f"#!/bin/sh\ncd {self.folder}\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return CommandSecret((str(path),), EVERY_S)

    def commands(self, longest_s: float = 20.0) -> KeyCommands:
        return KeyCommands(self.watch, longest_s)

    def runs(self) -> int:
        """How often a program has counted itself."""
        return int((self.folder / "count").read_text())

    async def gone(self, name: str) -> None:
        """Wait until the process that wrote its number into a file is no more."""
        pid = int((self.folder / name).read_text())
        await gone(pid)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def no_word_of_asyncio(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio tells in its log of children that it lost."""
    yield
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


def expiring(commands: KeyCommands, secret: CommandSecret) -> ExpiringSecret:
    key = commands.key(secret)
    assert isinstance(key, ExpiringSecret)
    return key


async def test_what_a_program_prints_is_the_key_without_the_line_end(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program("echo ya29.a-b_c~/+="))
        with pytest.raises(ValueError, match="print-key has printed no key"):
            key.reveal()
        assert await key.fetch() == "ya29.a-b_c~/+=" == key.reveal()


async def test_it_is_run_once_for_all_who_wait_and_not_again_before_its_time(desk: Desk) -> None:
    secret = desk.program(f"{COUNTED} sleep 0.1; echo token-$n")
    async with desk.commands() as commands:
        keys = [expiring(commands, CommandSecret(secret.command, EVERY_S)) for _ in range(5)]
        assert await asyncio.gather(*(key.fetch() for key in keys)) == ["token-1"] * 5
        desk.watch.moment += EVERY_S * 0.79
        assert await keys[0].fetch() == "token-1"
        assert desk.runs() == 1


async def test_a_key_is_used_while_the_next_one_is_printed(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(f"{COUNTED} echo token-$n"))
        await key.fetch()
        desk.watch.moment += EVERY_S * 0.9
        assert await key.fetch() == "token-1"
        await settled(lambda: key.reveal() == "token-2")
        assert await key.fetch() == "token-2"


async def test_a_key_whose_time_is_over_is_waited_for(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(f"{COUNTED} echo token-$n"))
        await key.fetch()
        desk.watch.moment += EVERY_S * 1.1
        assert await key.fetch() == "token-2"


async def test_while_the_program_fails_the_last_key_is_used_a_little_longer_than_its_time(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(f"{COUNTED} test $n = 1 && echo token-$n"))
        await key.fetch()
        for part in (0.85, 0.97, 1.09):
            desk.watch.moment = 1000.0 + EVERY_S * part
            with capture_logs() as told:
                assert await key.fetch() == "token-1"
                await settled(lambda told=told: bool(told))  # type: ignore[misc]
            [line] = told
            assert (line["event"], line["log_level"]) == ("key.command_failed", "warning")
        desk.watch.moment = 1000.0 + EVERY_S * 1.2
        with pytest.raises(ValueError, match="has printed no key"):
            await key.fetch()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo hush-hush; echo hush-hush >&2; exit 3", "ended with status 3"),
        ("kill -9 $$", "ended with status -9"),
        ("true", "printed nothing"),
        ("printf ' \\n\\n'", "printed nothing"),
        ("printf 'hush-hush\\nhush-hush\\n'", "printed something that is no key"),
        ("echo hush hush", "printed something that is no key"),
        ("""echo '{"token":"hush-hush"}'""", "printed something that is no key"),
        ("echo '<html>hush-hush</html>'", "printed something that is no key"),
        ("printf 'hush-hush\\377'", "printed something that is no key"),
        ("printf 'hush\\000hush'", "printed something that is no key"),
        ("printf 'ключ'", "printed something that is no key"),
        ("head -c 65536 /dev/zero | tr '\\0' a; echo b", "printed more than 65536 bytes"),
        ("head -c 20000000 /dev/zero | tr '\\0' a", "printed more than 65536 bytes"),
        ("while :; do echo hush-hush; done", "printed more than 65536 bytes"),
    ],
)
async def test_rubbish_is_no_key_and_is_never_told(desk: Desk, script: str, why: str) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(script))
        with capture_logs() as told, pytest.raises(ValueError, match="print-key has printed no key"):
            await key.fetch()
    [line] = told
    assert (line["event"], line["program"], line["why"]) == ("key.command_failed", "print-key", why)
    assert "hush" not in str(line)


async def test_the_longest_key_there_may_be(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program("head -c 65536 /dev/zero | tr '\\0' a"))
        assert await key.fetch() == "a" * 65536


async def test_a_program_that_is_not_there_any_more(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, CommandSecret((str(desk.folder / "none"),), EVERY_S))
        with capture_logs() as told, pytest.raises(ValueError, match="none has printed no key"):
            await key.fetch()
    assert [line["why"] for line in told] == ["cannot be run"]


async def test_a_program_that_fails_is_left_alone_for_a_while(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(f"{COUNTED} test $n = 2 && echo token-$n"))
        for _ in range(20):
            with pytest.raises(ValueError, match="has printed no key"):
                await key.fetch()
        assert desk.runs() == 1
        desk.watch.moment += 10.0
        assert await key.fetch() == "token-2"


@pytest.mark.parametrize(
    "script",
    [
        "echo $$ > leader; sleep 1000 & echo $! > child; wait",
        "echo $$ > leader; trap '' TERM HUP INT; sleep 1000 & echo $! > child; while :; do sleep 1; done",
        "echo $$ > leader; sleep 1000 & echo $! > child; echo token",
    ],
    ids=["hangs", "hangs and will not hear", "has ended, but for a child that could still print"],
)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_program_that_hangs_is_killed_with_all_that_it_started(
    desk: Desk, script: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def check() -> None:
        async with desk.commands(longest_s=0.5) as commands:
            key = expiring(commands, desk.program(script))
            with capture_logs() as told, pytest.raises(ValueError, match="has printed no key"):
                await key.fetch()
            assert [line["why"] for line in told] == ["had not ended after 0.5 s"]
            await desk.gone("leader")
            await desk.gone("child")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(check())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_who_closes_the_house_kills_what_still_runs(desk: Desk, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def check() -> None:
        async with desk.commands() as commands:
            key = expiring(commands, desk.program("sleep 1000 & echo $! > child; echo $$ > leader; wait"))
            waiting = asyncio.create_task(key.fetch())
            await settled((desk.folder / "leader").exists)
            await settled(lambda: bool((desk.folder / "leader").read_text()))
        with pytest.raises(ValueError, match="has printed no key"):
            await waiting
        await desk.gone("leader")
        await desk.gone("child")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(check())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_whoever_closes_the_house_while_a_program_is_being_started_leaves_nothing_of_it(
    desk: Desk, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def check() -> None:
        secret = desk.program("echo $$ >> started; sleep 1000 & echo $! >> started; wait")
        for steps in range(10):
            async with desk.commands() as commands:
                waiting = asyncio.create_task(expiring(commands, secret).fetch())
                for _ in range(steps):
                    await asyncio.sleep(0)
            with suppress(ValueError, asyncio.CancelledError):
                await waiting
        started = desk.folder / "started"
        for pid in started.read_text().split() if started.exists() else ():
            await gone(int(pid))

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(check())


async def test_who_waits_no_longer_leaves_the_key_to_the_next(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(f"{COUNTED} while ! test -e go; do sleep 0.01; done; echo token-$n"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await key.fetch()
        (desk.folder / "go").touch()
        assert await key.fetch() == "token-1"


async def test_a_refused_key_is_printed_anew_at_once_and_once_a_minute(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(f"{COUNTED} echo token-$n"))
        assert key.refused(await key.fetch())
        assert await key.fetch() == "token-2"
        assert key.refused("token-1"), "another key is there already"
        assert desk.runs() == 2
        assert not key.refused("token-2"), "the minute is not over"
        assert await key.fetch() == "token-2"
        assert desk.runs() == 2
        desk.watch.moment += 60.0
        assert key.refused("token-2")
        assert await key.fetch() == "token-3"


async def test_all_who_were_refused_at_once_get_the_same_next_key(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(f"{COUNTED} echo token-$n"))
        value = await key.fetch()
        assert [key.refused(value) for _ in range(5)] == [True] * 5
        assert await asyncio.gather(*(key.fetch() for _ in range(5))) == ["token-2"] * 5
        assert desk.runs() == 2


async def test_a_refused_key_is_used_on_where_no_other_can_be_had(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program(f"{COUNTED} test $n = 1 && echo token-$n"))
        assert key.refused(await key.fetch())
        assert await key.fetch() == "token-1"
        desk.watch.moment += 5.0
        assert await key.fetch() == "token-1"
        assert desk.runs() == 2


async def test_no_shell_reads_the_arguments(desk: Desk) -> None:
    secret = desk.program('echo "$#:$1"')
    async with desk.commands() as commands:
        key = expiring(commands, CommandSecret((*secret.command, "$HOME;`id`|*"), EVERY_S))
        assert await key.fetch() == "1:$HOME;`id`|*"


async def test_it_reads_nothing_and_leads_a_session_of_its_own(desk: Desk) -> None:
    async with desk.commands() as commands:
        key = expiring(commands, desk.program("cat > got; echo $$-$(ps -o sid= -p $$ | tr -d ' ')"))
        pid, _, session = (await key.fetch()).partition("-")
        assert pid == session != str(os.getsid(0))
        assert (desk.folder / "got").read_bytes() == b""


async def test_other_secrets_stay_as_they_are(desk: Desk) -> None:
    async with desk.commands() as commands:
        assert commands.key(EnvironmentSecret("A")) == EnvironmentSecret("A")
        assert commands.key(None) is None
