# SPDX-License-Identifier: ISC
"""What the configuration of a build says where a library is missing: which plugins it goes without, and which package brings them."""
import os
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT


def configured(folder, missing, *options):
    """CMake's status and words on a machine without these pkg-config modules."""
    modules = folder / "modules"
    modules.mkdir()
    for where in subprocess.run(["pkg-config", "--variable", "pc_path", "pkg-config"], check=True, capture_output=True, text=True).stdout.strip().split(":"):
        for file in Path(where).glob("*.pc"):
            if file.stem not in missing and not (modules / file.name).exists():
                (modules / file.name).symlink_to(file)
    done = subprocess.run(["cmake", "-S", ROOT, "-B", folder / "build", "-DMUSTER_WEB=OFF", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, env={**os.environ, "PKG_CONFIG_LIBDIR": str(modules)})
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.parametrize("module,package,plugins", [
    ("libcurl", "libcurl4-openssl-dev", ["auth_supabase", "relay"]),
    ("libpq", "libpq-dev", ["auth_supabase"]),
    ("sqlite3", "libsqlite3-dev", ["store_sqlite"]),
    ("libmariadb", "libmariadb-dev", ["store_mariadb"]),
    ("libcrypt", "libcrypt-dev", ["auth_accounts"]),
])
def test_what_a_missing_library_costs(tmp_path, module, package, plugins):
    status, said = configured(tmp_path, [module, "libxcrypt"], "-DMUSTER_TESTS=ON")
    assert status == 0, said
    told = {name for name in sorted(p.name for p in (ROOT / "plugins").iterdir()) if f"Without the plugin {name}: {module} missing. To add it: apt-get install {package}," in said}
    assert told == set(plugins), said
    assert said.count("Without the plugin") == len(plugins)


def test_what_everything_needs(tmp_path):
    status, said = configured(tmp_path, ["libwebsockets", "libwebsockets_static", "json-c"])
    assert status != 0
    assert "Muster cannot be built without: libwebsockets>=4.1.6, json-c. On Debian: apt-get install libwebsockets-dev libwebsockets-evlib-ev libjson-c-dev" in said


def test_what_the_tests_need(tmp_path):
    status, said = configured(tmp_path, ["cunit"], "-DMUSTER_TESTS=ON")
    assert status != 0 and "apt-get install libcunit1-dev" in said and "-DMUSTER_TESTS=OFF" in said
