"""Ties a process to the life of its parent, so that none is left behind when the parent is killed.

`python -m moa_server.embedded.parent_death PARENT COMMAND…` becomes COMMAND, which gets SIGTERM when PARENT ends.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; it survives execve


def die_with(parent: int, farewell: signal.Signals) -> None:
    """Asks the kernel for `farewell` at the end of the parent; elsewhere than on Linux nothing is asked.

    The kernel means the parent's thread, so a parent starts its children from its main thread.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(farewell), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked, so no signal will come
        raise SystemExit(f"parent {parent} has ended")


def tied(*command: str) -> tuple[str, ...]:
    """The command line that runs `command` tied to the calling process."""
    return (sys.executable, "-m", "moa_server.embedded.parent_death", str(os.getpid()), *command)


def main() -> None:
    """Becomes the command given, tied to the parent given."""
    parent, *command = sys.argv[1:]
    die_with(int(parent), signal.SIGTERM)
    os.execv(command[0], command)  # noqa: S606 - no shell on purpose; the demo names the command


if __name__ == "__main__":
    main()
