"""Tie a command's life to the process that starts it: `python tether.py PARENT_PID COMMAND…`.

The kernel sends SIGTERM to this process, and to the command that takes its place, when its parent ends, even by
SIGKILL. `crowdserve.local.processes` runs this file as a script, so it imports only the standard library.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the command, tied to the parent."""
    parent_pid, command = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent_pid:  # the parent ended before the kernel watched it
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
