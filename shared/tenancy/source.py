"""Owner of what a tenant can use: the tenant itself, or the platform for everybody."""

from enum import StrEnum


class Source(StrEnum):
    """Owner of a prompt or a bot: the tenant, or the platform, whose things every tenant can use."""

    TENANT = "tenant"
    GLOBAL = "global"
