"""What importing and indexing the app costs a cold start above what any such app imports, in ms of CPU.

Run with `pytest tests/benchmarks/bench_import.py -s`. The claim is at most 300 ms, with bytecode there.
Figures are printed, not asserted.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from infra.package import compile_files, copy_files, list_files
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 7
BASE = "import azure.functions, azurefunctions.extensions.http.fastapi, pydantic, pydantic_settings"
APP = "import function_app; assert len(function_app.app.get_functions()) > 50"
TOLD = "import time; print(time.process_time() * 1000)"


def cpu_ms(program: str, folder: Path) -> float:
    """Take the best of some processes."""
    return min(
        float(
            subprocess.run(  # noqa: S603  # our own interpreter and program
                [sys.executable, "-c", f"{program}; {TOLD}"],
                cwd=folder,
                env={},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(ROUNDS)
    )


def test_import_and_index_above_the_base(tmp_path: Path) -> None:
    copy_files(ROOT, list_files(ROOT), tmp_path)
    compile_files(tmp_path)

    base = cpu_ms(BASE, tmp_path)
    whole = cpu_ms(f"{BASE}; {APP}", tmp_path)

    print(f"\n{'ms of CPU, best of ' + str(ROUNDS):40} {'':>8}")
    print(f"{'azure.functions, FastAPI types, pydantic':40} {base:8.0f}")
    print(f"{'with the app, indexed':40} {whole:8.0f}")
    print(f"{'the app':40} {whole - base:8.0f}")
    assert whole > base
