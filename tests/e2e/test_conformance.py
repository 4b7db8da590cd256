# SPDX-License-Identifier: ISC
"""RFC 6455, case by case, on an echo channel made by a plugin (tests/sdk/parrot.c): libwebsockets and what net makes of it."""
import sys

import pytest
from conftest import ROOT
from hostile import Target

sys.path.insert(0, str(ROOT / "tests" / "interop"))
import conformance  # noqa: E402

CASES = {case.name: case for case in conformance.cases()}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    made = Target(tmp_path_factory.mktemp("conformance"))
    yield made
    made.bystander.check()
    made.stop()


def test_the_cases_are_there():
    assert len(CASES) == sum(1 for _ in conformance.cases()) >= 150


@pytest.mark.parametrize("name", CASES)
def test_case(target, name):
    with target.parrot() as link:
        conformance.run(CASES[name], link)
