"""The version of the app and of its contract."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
