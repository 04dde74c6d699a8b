"""Tenant settings of models."""

from __future__ import annotations

from shared.tenancy.settings import About, text

CHAT_DEFAULT_MODEL = text(
    About(
        key="chat.default_model",
        label="Default model",
        description="The model of bots that name none; empty for the platform's own.",
    ),
    default="",
    max_length=128,
    pattern=r"^[A-Za-z0-9._:/-]*$",
)
