"""Items of usage: one for each day, model, application and user, under an id that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.tokens.counters import id_part
from shared.tokens.stored_models import USAGE_PREFIX, UsageItem

if TYPE_CHECKING:
    from datetime import date

    from shared.contracts import Usage


@dataclass(frozen=True, slots=True)
class UsageKey:
    """Key of what is counted together.

    Attributes:
        day: The day of UTC of the calls' locks.
        model: The catalogue's name of the model that was asked for.
        app_id: The tenant's application that called.
        user: The user that the calls were made for; None where they were made for nobody.
    """

    day: date
    model: str
    app_id: str
    user: str | None

    @property
    def item_id(self) -> str:
        """The id under which it is stored; a day's items are next to each other."""
        names = (id_part(self.model), id_part(self.app_id), id_part(self.user or ""))
        return USAGE_PREFIX + ":".join((self.day.isoformat(), *names))


def build_usage_item(key: UsageKey, usage: Usage, requests: int = 1) -> UsageItem:
    """Return the item of what some requests used."""
    return UsageItem(
        id=key.item_id,
        day=key.day.isoformat(),
        model=key.model,
        app_id=key.app_id,
        user_id=key.user,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        requests=requests,
    )
