"""Show and change settings, of one tenant or of the platform for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functions.settings.models import (
    SettingFormReply,
    SettingReply,
    SettingSchemaReply,
)
from shared.errors import PermissionDeniedError, ValidationError
from shared.http.paging import ListReply, cut_page
from shared.resilience.concurrency import side_by_side
from shared.tenancy.audit import AuditAction
from shared.tenancy.context import PlatformContext, TenantContext, as_platform
from shared.tenancy.settings import SettingScope, resolve
from shared.tenancy.settings_store import UNSET_ETAG

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from pydantic import JsonValue

    from functions.settings.models import SettingPageQuery
    from shared.tenancy.audit import AuditTrail
    from shared.tenancy.settings import Setting, SettingRegistry, StoredSettings, TenantSettings
    from shared.tenancy.settings_store import OwnSettings


class SettingsService:
    """The settings of one owner, as forms show and change them.

    Args:
        caller: Who asks.
        scope: Whose values are meant.
        settings: The settings of everybody.
        audit: Where it is kept who changed what.

    Raises:
        PermissionDeniedError: The scope is the platform's, and the caller is not its administrator.
        ValidationError: The scope is a tenant's, and the administrator names none.
    """

    def __init__(
        self,
        caller: TenantContext | PlatformContext,
        scope: SettingScope,
        settings: TenantSettings,
        audit: AuditTrail,
    ) -> None:
        self._scope = scope
        self._settings = settings
        self._registry = settings.registry
        self._audit = audit
        self._global = settings.everybodys
        self._caller: TenantContext | PlatformContext
        self._own: OwnSettings
        if scope is SettingScope.GLOBAL:
            self._caller, self._own = as_platform(caller), self._global
        elif isinstance(caller, PlatformContext):
            raise ValidationError(
                "The administrator names the tenant to act for, or scope=global",
                {"fields": {"header.x-tenant-id": "required"}},
            )
        else:
            self._caller, self._own = caller, settings.of(caller)

    async def list(self, query: SettingPageQuery) -> ListReply[SettingReply]:
        """Return one page of settings, by key."""
        own, everybodys = await self._read()
        after, prefix = query.cursor or "", query.prefix or ""
        found = [one for one in self._registry if one.key > after and one.key.startswith(prefix)]
        page = cut_page(found, query.limit, lambda setting: setting.key)
        return ListReply[SettingReply].of(
            page, lambda setting: self._render_setting(setting, own, everybodys)
        )

    async def read(self, key: str) -> SettingReply:
        """Return a setting's value in force.

        Raises:
            SettingNotFoundError: There is no such setting.
        """
        setting = self._registry.find(key)
        return self._render_setting(setting, *await self._read())

    async def put(self, key: str, value: JsonValue, if_match: str | None) -> SettingReply:
        """Set a value.

        Raises:
            SettingNotFoundError: There is no such setting.
            ValidationError: The value is of another type or out of bounds.
            PermissionDeniedError: The setting is the platform's alone, or its administrator's to set.
            PreconditionFailedError: It is in another state than `if_match`.
        """
        setting = self._changeable(key)
        rendered = setting.render(setting.parse(value))
        async with self._recording(AuditAction.SETTING_PUT, key):
            stored = await self._own.put(key, rendered, self._caller.principal, if_match)
            self._forget()
        return self._render_setting(setting, {key: stored}, {key: stored})

    async def remove(self, key: str, if_match: str | None) -> SettingReply:
        """Take a value back, and return the one that is in force without it.

        Raises:
            SettingNotFoundError: There is no such setting.
            PermissionDeniedError: The setting is the platform's alone, or its administrator's to set.
            PreconditionFailedError: It is in another state than `if_match`.
        """
        setting = self._changeable(key)
        async with self._recording(AuditAction.SETTING_DELETE, key):
            await self._own.remove(key, if_match)
            self._forget()
        return self._render_setting(setting, *await self._read())

    def _changeable(self, key: str) -> Setting[Any]:
        setting = self._registry.find(key)
        is_platforms = setting.scope is SettingScope.GLOBAL and self._scope is SettingScope.TENANT
        is_above = isinstance(self._caller, TenantContext) and not self._caller.role.includes(
            setting.min_role
        )
        if is_platforms or is_above:
            raise PermissionDeniedError(f"Only the platform's administrator sets '{key}'", {"key": key})
        return setting

    def _forget(self) -> None:
        if isinstance(self._caller, TenantContext):
            self._settings.forget(self._caller)

    def _recording(self, action: AuditAction, key: str) -> AbstractAsyncContextManager[None]:
        return self._audit.recording(self._caller, action, key, detail={"scope": self._scope})

    async def _read(self) -> tuple[StoredSettings, StoredSettings]:
        if self._own is self._global:
            values = await self._global.read()
            return values, values
        own, everybodys = await side_by_side([self._own.read(), self._global.read()])
        return own, everybodys

    def _render_setting(
        self, setting: Setting[Any], own: StoredSettings, everybodys: StoredSettings
    ) -> SettingReply:
        found = resolve(setting, {} if self._scope is SettingScope.GLOBAL else own, everybodys)
        stored = own.get(setting.key)
        return SettingReply(
            key=setting.key,
            value=setting.render(found.value),
            source=found.source,
            updated_at=stored.updated_at if stored else None,
            updated_by=stored.updated_by if stored else None,
            etag=stored.etag if stored else UNSET_ETAG,
        )


def describe_settings(registry: SettingRegistry) -> SettingSchemaReply:
    """Describe every setting for a form."""
    return SettingSchemaReply(items=[_describe_setting(setting) for setting in registry])


def _describe_setting(setting: Setting[Any]) -> SettingFormReply:
    schema = setting.form()
    return SettingFormReply(
        key=setting.key,
        type=setting.type,
        label=setting.label,
        description=setting.description,
        scope=setting.scope,
        min_role=setting.min_role,
        default=setting.render(setting.default),
        choices=schema.get("enum"),
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        max_length=schema.get("maxLength"),
        json_schema=schema,
    )
