"""The Azure CLI, asked for JSON."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

_SECONDS = 300


class AzError(Exception):
    """A command of the Azure CLI that failed."""


def ask(*words: str) -> Any:  # noqa: ANN401  # JSON of any shape
    """Run a command in the subscription of azd and return what it answers, or None where it answers nothing.

    AZURE_SUBSCRIPTION_ID is azd's; without it the CLI asks its own default, which may be another one.

    Raises:
        AzError: It failed, is not installed, or took too long.
    """
    subscription = os.environ.get("AZURE_SUBSCRIPTION_ID")
    chosen = ("--subscription", subscription) if subscription else ()
    command = ["az", *words, *chosen, "--output", "json"]
    try:
        done = subprocess.run(  # noqa: S603  # our own words
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except FileNotFoundError:
        raise AzError("the Azure CLI is not installed: https://aka.ms/installazurecli") from None
    except subprocess.TimeoutExpired:
        raise AzError(f"'az {' '.join(words[:3])}' did not answer in {_SECONDS} s") from None
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise AzError(f"'az {' '.join(words[:3])}' failed: {reason[0]}")
    return json.loads(done.stdout) if done.stdout.strip() else None
