# SPDX-License-Identifier: ISC
"""A dead mount: statvfs() never comes back. The other collectors go on, the report names the one that hangs, and the agent still ends."""
import asyncio
import json

import pytest
import websockets

from conftest import ALL_COLLECTORS, BUILD, ROOT, SECRET, Program, entry

SHIM = BUILD / "tests" / "plugins" / "dead_mount.so"
MACHINE = ROOT / "tests" / "fixtures" / "proc" / "machine"


def configuration(server):
    listed = ", ".join(f'{{ name = "{name}"; interval = 0.5; deadline = 0.5; }}' for name in ALL_COLLECTORS)
    return (f'root = "{MACHINE}"; adaptive = "off";\ncollectors = ( {listed} );\n'
            f'uplinks = ( {{ name = "server_status"; config = {{ url = "{server.ws}/ws-report"; server_id = "demo"; secret = "{SECRET}"; }}; }} );\n')


async def watch(server, enough, timeout):
    """The reports of a page, until enough(reports) is true."""
    reports = []
    async with websockets.connect(server.ws + "/ws-frontend") as page:
        async def read():
            while not enough(reports):
                reports.append(json.loads(await page.recv()))
        await asyncio.wait_for(read(), timeout)
    return reports


def stuck(report):
    return report.get("metrics", {}).get("agent", {}).get("stuck")


@pytest.mark.skipif(not SHIM.exists(), reason="the shim was not built")
@pytest.mark.parametrize("dead", (True, False))
def test_a_dead_mount(server, tmp_path, dead):
    s = server(entry("demo"))
    env = {"LD_PRELOAD": str(SHIM), "DEAD_MOUNT": str(MACHINE) if dead else "/nowhere"}
    # The sanitizer wants to be first; it need not be, for this.
    env["ASAN_OPTIONS"] = "verify_asan_link_order=0"
    made = Program("muster-agent", tmp_path, configuration(s), env)
    try:
        if dead:
            reports = asyncio.run(watch(s, lambda seen: len([r for r in seen if stuck(r) == "disk"]) >= 4, 30))
            last = reports[-1]
            assert last["cpu"]["cores"] == 2 and last["memory"]["total"] > 0 and last["system"]["kernel"]
            assert not last["disk"]
            # None of the four waited for the disk's deadline again.
            assert last["timestamp"] - reports[-4]["timestamp"] <= 10
            assert "collect has not come back within 0.5 s" in made.log
        else:
            last = asyncio.run(watch(s, lambda seen: len(seen) >= 3, 30))[-1]
            assert last["disk"] and not stuck(last)
    finally:
        made.stop()
