# SPDX-License-Identifier: ISC
"""What a build says where something is missing: a library, and which plugins it goes without; Node.js, and how the console comes back."""
import fcntl
import os
import re
import shutil
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
                          text=True, timeout=300, env={**os.environ, "PKG_CONFIG_LIBDIR": str(modules)})
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


def console_built(folder, node, npm, wanted="AUTO", path="/nowhere"):
    """The build's own step for the console: its status, its words, and the folder that the server serves."""
    page = folder / "page"
    (folder / "work").mkdir(exist_ok=True)
    done = subprocess.run([shutil.which("cmake"), f"-DSOURCE={ROOT}/web", f"-DWORK={folder}/work", f"-DPAGE={page}", f"-DSTAMP={folder}/stamp", f"-DNODE={node}", f"-DNPM={npm}",
                           f"-DWANTED={wanted}", "-P", ROOT / "web/build.cmake"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, env={**os.environ, "PATH": path})
    return done.returncode, " ".join(done.stdout.split()), page


def test_a_console_whose_node_went_away_says_how_to_bring_it_back(tmp_path):
    status, said, page = console_built(tmp_path, tmp_path / "gone/node", tmp_path / "gone/npm")
    assert status == 0 and "gone/node is not there any more" in said and "apt-get install nodejs npm" in said and "configure again" in said
    # What the server serves instead is whole, and tells the same for an installed server.
    text = (page / "index.html").read_text()
    for name in re.findall(r'(?:href|src)="\./([^"/]+)"', text):
        assert (page / name).is_file(), name
    assert 'rel="icon"' in text and "sudo cmake --install build" in text
    status, said, _ = console_built(tmp_path, tmp_path / "gone/node", tmp_path / "gone/npm", "ON")
    assert status != 0 and "could not be built" in said


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node or npm missing")
def test_the_console_is_built_where_node_is_not_in_the_path(tmp_path):
    """npm looks for node there; CMake had found both."""
    status, said, page = console_built(tmp_path, shutil.which("node"), shutil.which("npm"))
    assert status == 0 and "could not be built" not in said, said
    assert (page / "index.html").read_text().count(".js") >= 2


def test_quickstarts_of_one_folder_wait_for_each_other(tmp_path):
    """Or they would build in it at once, and each would lose sight of what the other one started."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "server.pid").write_text("")
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with subprocess.Popen([ROOT / "scripts/quickstart", "--build", tmp_path, "--stop"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == f"Another quickstart of {tmp_path} is under way: waiting for it.\n"
        assert (run / "server.pid").exists()
        os.close(folder)
        assert other.communicate(timeout=20)[0] == "Stopped.\n" and other.returncode == 0
    assert not (run / "server.pid").exists()
