"""Tenant settings of models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from shared.llm.deployments import ModelName
from shared.tenancy.context import Role
from shared.tenancy.settings import About, boolean, document, integer, text
from shared.validation import text_pattern

_ANY_MODEL_PATTERN = text_pattern(r"^[A-Za-z0-9._:/-]*$", "letters, digits and . _ : / -")
MODELS_ALLOWED = document(
    About(
        key="models.allowed",
        label="Models that may be used",
        description="The names in the catalogue that bots, jobs and calls may use; none of them for all.",
        min_role=Role.ADMIN,
    ),
    TypeAdapter(Annotated[list[ModelName], Field(max_length=200)]),
    default=[],
)

CHAT_DEFAULT_MODEL = text(
    About(
        key="chat.default_model",
        label="Default model",
        description="The model of bots that name none; empty for the platform's own.",
    ),
    default="",
    max_length=128,
    pattern=_ANY_MODEL_PATTERN,
)

CHAT_RETENTION_DAYS = integer(
    About(
        key="chat.retention_days",
        label="Days for which conversations are kept",
        description="Each turn is removed so many days after it was begun; 0 keeps turns until somebody "
        "removes them. Of this and a bot's own number the shorter one wins. What is stored keeps its time.",
    ),
    default=0,
    minimum=0,
    maximum=3_650,
)

LOGS_KEEP_CONTENT = boolean(
    About(
        key="logs.keep_content",
        label="Keep what model calls say",
        description="Whether messages and answers of model calls are kept beside their records: for as long "
        "as log lines are, or as conversations are where that is shorter. Administrators can read them; each "
        "reading is in the audit trail.",
    ),
    default=False,
)
