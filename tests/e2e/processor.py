# SPDX-License-Identifier: ISC
"""What programs waited for a processor: the machine's time, and nobody's stall."""
import contextlib
from pathlib import Path


def _waited(schedstat):
    return int(schedstat.read_text().split()[1]) / 1e9


def starved(*pids):
    """Seconds that these processes' first threads would have run, and had no processor."""
    return sum(_waited(Path(f"/proc/{pid}/schedstat")) for pid in pids)


def starved_threads(pid):
    """The same of all threads of a process, which may end meanwhile."""
    total = 0
    with contextlib.suppress(OSError):
        for thread in list(Path(f"/proc/{pid}/task").iterdir()):
            with contextlib.suppress(OSError):
                total += _waited(thread / "schedstat")
    return total
