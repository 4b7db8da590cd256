# SPDX-License-Identifier: ISC
"""Ports for servers of tests, below the kernel's own range: they stay free while a server is down, and no two test programs are given the same.

On a command line it prints one; that is nobody's for good, but whoever else asks here begins at another one.
"""
import os
import random
import socket

FIRST, BLOCK, BLOCKS = 20000, 200, 60


def _claim():
    """A block of ports that is this process's as long as it lives, kept by a name in the network's namespace: (its first port, the claim)."""
    for block in random.sample(range(BLOCKS), BLOCKS):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0muster-test-ports-{block}")
            return FIRST + block * BLOCK, claim
        except OSError:
            claim.close()
    return FIRST + random.randrange(BLOCKS) * BLOCK, None


def _usable(port, again):
    """Whether nobody has it. `again`: links of before may still be ending there."""
    with socket.socket() as s:
        if again:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", port))
            return True
        except OSError:
            return False


_mine = {"pid": None}


def free_port():
    if _mine["pid"] != os.getpid():
        first, claim = _claim()
        _mine.update(pid=os.getpid(), claim=claim, first=first, next=random.randrange(BLOCK))
    for again in (False, True):
        for _ in range(BLOCK):
            port = _mine["first"] + _mine["next"] % BLOCK
            _mine["next"] += 1
            if _usable(port, again):
                return port
    raise AssertionError("no free port")


if __name__ == "__main__":
    print(free_port())
