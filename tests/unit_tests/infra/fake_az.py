"""A stand-in for the Azure CLI on the PATH: answers from a folder, and remembers what it was asked."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_SCRIPT = """#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/asked"
for words in "$1-$2-$3" "$1-$2"; do
  if [ -f "$here/$words.json" ]; then cat "$here/$words.json"; exit 0; fi
  if [ -f "$here/$words.error" ]; then cat "$here/$words.error" >&2; exit 1; fi
done
echo "ERROR: nobody expected: az $*" >&2
exit 2
"""


class FakeAz:
    """The CLI and its answers.

    Args:
        folder: Where it stands; first on the PATH.
        monkeypatch: Puts it there.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        folder.mkdir()
        script = folder / "az"
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def answer(self, words: str, value: object) -> None:
        """Answer a command, named by its first words."""
        (self._folder / f"{words.replace(' ', '-')}.json").write_text(json.dumps(value))

    def refuse(self, words: str, reason: str) -> None:
        """Let a command fail."""
        (self._folder / f"{words.replace(' ', '-')}.json").unlink(missing_ok=True)
        (self._folder / f"{words.replace(' ', '-')}.error").write_text(reason)

    @property
    def path(self) -> str:
        """The PATH on which it is first."""
        return f"{self._folder}{os.pathsep}{os.defpath}"

    @property
    def asked(self) -> list[str]:
        """The commands so far."""
        file = self._folder / "asked"
        return file.read_text().splitlines() if file.exists() else []
