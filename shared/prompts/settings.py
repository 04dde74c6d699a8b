"""Tenant settings of prompts."""

from __future__ import annotations

from shared.tenancy.settings import About, boolean

PROMPTS_GLOBAL_FALLBACK = boolean(
    About(
        key="prompts.global_fallback",
        label="Use global prompts",
        description="Whether a prompt that the tenant has none of is taken from the global ones.",
    ),
    default=True,
)
