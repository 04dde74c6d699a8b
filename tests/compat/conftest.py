"""The app on the local platform, and the environments of the clients: installed when first needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.platform import ROOT, running_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
POOR = {"tokens_per_minute": 2_000}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the app is, and whose budget pays.

    Attributes:
        base_url: The clients' base URL.
        key: A user's key of a tenant.
        poor_key: One of a tenant whose budget is soon used up.
    """

    base_url: str
    key: str
    poor_key: str

    def environment(self) -> dict[str, str]:
        """Return what a client finds the app by, and no other variable of OpenAI's."""
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTHON"))
        }
        return own | {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": self.key,
            "COMPAT_POOR_KEY": self.poor_key,
            "TIKTOKEN_CACHE_DIR": str(ROOT / "shared" / "llm" / "ranks"),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "NO_PROXY": "*",
        }


def install(pins: str) -> Path:
    """Install clients for Python by one of the lists of pins; return their Python."""
    script, name = ROOT / "local" / "setup" / "peers.sh", f"compat-{pins}"
    subprocess.run([script, name, FOLDER / "requirements" / f"{pins}.txt"], check=True)  # noqa: S603  # ours
    return ROOT / ".tools" / name / "bin" / "python"


@pytest.fixture(scope="session")
def node() -> str:
    """Install the clients for Node; return it."""
    executable, npm = shutil.which("node"), shutil.which("npm")
    assert executable is not None
    assert npm is not None
    command = [npm, "ci", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    subprocess.run(command, cwd=FOLDER / "node", check=True)  # noqa: S603  # what which() found
    return executable


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Run the app, with two tenants."""
    data = tmp_path_factory.mktemp("compat") / "data"
    with running_platform(data) as platform:
        rich, poor = platform.new_tenant("premium"), platform.new_tenant("premium")
        platform.admin.must("PUT", f"/api/v1/tenants/{poor}/limits", POOR)
        keys = [platform.caller(tenant, "user").key for tenant in (rich, poor)]
        yield Place(f"{platform.addresses['app']}/api/v1", *keys)
