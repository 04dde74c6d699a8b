"""What the demo remembers of its last run: the keys, which the app shows only once, in a file of its own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from local.demo.filling import Keys

if TYPE_CHECKING:
    from pathlib import Path

FILE = "demo.json"
_PRIVATE = 0o600


def read_keys(path: Path) -> Keys:
    """Read the keys of an earlier run; none where there was none, or its file cannot be read."""
    try:
        return Keys(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Keys()


def write_keys(path: Path, keys: Keys) -> None:
    """Replace the file whole; nobody else may read it."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(keys), file)
    draft.replace(path)
