"""Turns that are answered otherwise than their bot is configured: what may differ, and who may ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.chat.bots.stored_models import StoredPromptReference
from shared.errors import PermissionDeniedError
from shared.llm.answer_format import AnswerFormat
from shared.tenancy.context import Role
from shared.validation import refused_field, validate_input

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from functions.chat.bots.service import NamesModels
    from functions.chat.bots.stored_models import StoredBotConfig
    from functions.chat.conversations.models import TurnOverrides
    from shared.tenancy.context import TenantContext

type ChecksOverrides = Callable[[StoredBotConfig, TurnOverrides], Awaitable[None]]

_PATH = "body.overrides"


async def refuse_overrides(bot: StoredBotConfig, overrides: TurnOverrides) -> None:  # noqa: ARG001  # the type's
    """Refuse all overrides: who answers this way has no administrator's word.

    Raises:
        PermissionDeniedError: Always.
    """
    raise PermissionDeniedError("Only an administrator's request may override a bot")


async def check_overrides(
    tenant: TenantContext, models: NamesModels, bot: StoredBotConfig, overrides: TurnOverrides
) -> None:
    """Refuse overrides that the caller may not make, or that name a model which may not answer for the bot.

    Raises:
        PermissionDeniedError: The caller is no administrator.
        ModelNotFoundError: There is no such model, or not for the tenant.
        ValidationError: The bot is answered by Azure's models alone, and it is none.
    """
    if not tenant.role.includes(Role.TENANT_ADMIN):
        raise PermissionDeniedError(
            "Only an administrator of the tenant may override a bot", {"role": tenant.role}
        )
    if overrides.model is not None:
        only_azure = bot.llm.provider == "azure"
        await models.require(tenant, overrides.model, f"{_PATH}.model", only_azure=only_azure)


def override_bot(bot: StoredBotConfig, overrides: TurnOverrides) -> StoredBotConfig:
    """Return a bot's configuration as it holds for one turn.

    Raises:
        ValidationError: A version is named, and the bot's instructions are no prompt.
    """
    said = overrides.model_dump(include={"model", "temperature"}, exclude_none=True)
    changes: dict[str, object] = {"llm": bot.llm.model_copy(update=said)}
    if overrides.prompt_version is not None:
        if bot.prompt is None:
            raise refused_field(f"{_PATH}.prompt_version", "this bot's instructions are no prompt")
        changes["prompt"] = StoredPromptReference(name=bot.prompt.name, version=overrides.prompt_version)
    return bot.model_copy(update=changes)


def read_answer_format(bot: StoredBotConfig) -> AnswerFormat | None:
    """Return the form that a bot's answers have.

    Raises:
        ValidationError: It is none that this release knows.
    """
    stored = bot.response_format
    if stored is None:
        return None
    return validate_input(lambda: AnswerFormat.model_validate(stored.as_written()), "bot", "response_format")
