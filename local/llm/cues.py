"""Words by which the stand-in fills a schema so that it has to do with what was said: always the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_QUOTED = 120
_LONG_WORD = 5
_CUES = {
    "bug": "bug error errors crash crashes crashed broken fails failed fehler absturz kaputt erreur panne",
    "performance": "slow fast quick speed lag loading langsam schnell lent rapide lento",
    "usability": "find confusing unclear menu button click navigate umständlich unübersichtlich compliqué",
    "suggestion": "suggest suggestion wish should could idea vorschlag wunsch suggestion sugerencia",
    "service": "support staff service hotline helpdesk waiter delivery kundendienst mitarbeiter livraison",
    "negative": "bad terrible awful disappointed worst schlecht enttäuscht mauvais déçu malo",
    "positive": "great good love excellent thanks thank happy gut danke toll super merci bien bueno",
    "product": "product item quality produkt qualität produit calidad",
    "complaint": "not cannot never bad terrible broken slow crash error nicht nie pas jamais no",
    "praise": "great good love excellent thanks thank happy gut danke toll super merci bueno",
    "question": "how why when where what wie warum wann wo comment pourquoi",
    "request": "please wish want should could bitte wunsch",
    "report": "report since today noticed seit heute",
}
"""Words that speak for a value, the first one that any speaks for before the others."""


def choose(values: Sequence[Any], said: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the value that a text speaks for, by its name or a word of its; None where there is none."""
    words = {word.lower() for word in _WORD.findall(said)}
    named = [_name(value) for value in values]
    for value, name in zip(values, named, strict=True):
        if name in words:
            return value
    for name, cues in _CUES.items():
        if name in named and words & set(cues.split()):
            return values[named.index(name)]
    return None


def write_text(name: str, said: str) -> str | None:
    """Return what a property of a name says about a text: a summary quotes it, a hashtag is a word of it."""
    words = _WORD.findall(said)
    if name == "summary" and words:
        text = " ".join(said.split())
        quoted = text if len(text) <= _QUOTED else text[:_QUOTED].rpartition(" ")[0] + " …"
        return f"[stand-in] {quoted}"
    if name.endswith("hashtag") and words:
        return f"#{next((word for word in words if len(word) >= _LONG_WORD), words[0]).lower()}"
    return None


def _name(value: object) -> str:
    return value.lstrip("#").lower() if isinstance(value, str) else ""
