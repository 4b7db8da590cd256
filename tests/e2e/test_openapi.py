# SPDX-License-Identifier: ISC
"""docs/openapi.json says what the plugins' tables say."""
import subprocess

from conftest import BUILD, ROOT


def test_the_document_is_up_to_date():
    done = subprocess.run([ROOT / "scripts/openapi", BUILD, "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
