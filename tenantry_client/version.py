"""The version of the client, which is the app's."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
