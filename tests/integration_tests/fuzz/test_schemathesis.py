"""The running app under schemathesis, with all of its checks: no 5xx, and nothing that is not documented.

`make test` runs the generated and the stateful cases in small; the soak adds the coverage phase, which walks
through every parameter's limits, and as many generated cases as the claim names.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.platform import ROOT, running_platform
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Platform

pytestmark = sized(3_600)

EXAMPLES = 60 if SOAK else 2
PHASES = "coverage,fuzzing,stateful" if SOAK else "fuzzing,stateful"
AT_LEAST = {"tenant_admin": 5_000, "admin": 1_000} if SOAK else {"tenant_admin": 100, "admin": 10}
CONFIG = "tests/integration_tests/fuzz/schemathesis.toml"
RATES = {f"REQUESTS_PER_MINUTE_{tier}": "1000000" for tier in ("PREMIUM", "ADMIN")}


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose request rates are out of reach: all cases come from one caller."""
    kept = {name: os.environ.get(name) for name in RATES}
    os.environ.update(RATES)
    try:
        with running_platform(tmp_path_factory.mktemp("fuzz") / "data") as running:
            yield running
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.mark.parametrize("role", ["tenant_admin", "admin"])
def test_every_answer_is_a_documented_one_whatever_is_asked(generous: Platform, role: str) -> None:
    tenant_id = generous.new_tenant("premium")
    if role == "admin":
        key = generous.admin.key
        chosen = ["--include-by", "/x-role == admin", "-H", f"X-Tenant-Id: {tenant_id}"]
        # A tenant that is being purged can be asked how far that has come.
        chosen += ["--exclude-checks", "use_after_free"]
    else:
        key = generous.caller(tenant_id, role).key
        chosen = []

    ran = subprocess.run(  # noqa: S603  # our own command line
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "run"),
            *(f"{generous.addresses['app']}/api/openapi.json", "--checks", "all", "--phases", PHASES),
            *("--max-examples", str(EXAMPLES), "--workers", "2", "--no-color", "--seed", "1"),
            *("-H", f"Authorization: Bearer {key}", *chosen),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    sys.stdout.write(ran.stdout[-1_000:])
    generated = re.search(r"(\d+) generated", ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert generated is not None
    assert int(generated[1]) >= AT_LEAST[role]
