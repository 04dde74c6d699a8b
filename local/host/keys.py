"""Function keys: who may call a function of which authorization level, when levels are enforced."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from local.host.bindings import AuthLevel

_HEADER = "x-functions-key"
_PARAMETER = "code"


@dataclass(frozen=True, slots=True)
class Keys:
    """The app's master key, its host key, and a key for each function."""

    master: str
    host: str
    functions: Mapping[str, str] = field(default_factory=dict)

    def admit(
        self, level: AuthLevel, function: str, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> bool:
        """Whether a request carries a key that is good for the level."""
        if level == "anonymous":
            return True
        given = (headers.get(_HEADER) or query.get(_PARAMETER) or "").encode()
        good = [self.master]
        if level == "function":
            good += [self.host, self.functions.get(function, self.host)]
        return any(hmac.compare_digest(given, key.encode()) for key in good)


def load_keys(path: Path, functions: Sequence[str]) -> Keys:
    """Read the keys, making those that are not there yet.

    The file is replaced whole, so that instances that start at the same time read one complete set.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = json.loads(path.read_text()) if path.is_file() else {}
    known: dict[str, str] = stored.get("functionKeys", {})
    keys = Keys(
        master=stored.get("masterKey") or _new_key(),
        host=stored.get("hostKey") or _new_key(),
        functions={name: known.get(name) or _new_key() for name in sorted(functions)},
    )
    content = {"masterKey": keys.master, "hostKey": keys.host, "functionKeys": keys.functions}
    if content != stored:
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(content, indent=2))
        draft.replace(path)
    return keys


def _new_key() -> str:
    return secrets.token_urlsafe(40)
