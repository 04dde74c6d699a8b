"""Bind the console: its page, its files, and how people may sign in."""

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import azure.functions as func

from functions.console.assets import Assets, StaticFile
from functions.console.models import AssetPath, PageVisit, SignInReply
from shared.errors import ConfigurationError
from shared.http.inputs import AcceptsGzip, IfNoneMatch
from shared.http.responses import FileReply
from shared.http.routes import Routes

if TYPE_CHECKING:
    from shared.runtime import Runtime
    from shared.settings import OidcSettings

STATIC = Path(__file__).with_name("static")


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the console's routes; all of them are open, and none is an operation of the API."""
    routes = Routes(runtime, "console")

    @cache
    def assets() -> Assets:
        return Assets.read(STATIC)

    @cache
    def page(origins: tuple[str, ...]) -> StaticFile:
        return assets().build_page(origins)

    def provider() -> "OidcSettings | None":
        """Return the provider that people can sign in with here; what else is missing is seen on the page."""
        with suppress(ConfigurationError):
            settings = runtime.settings
            if settings.oidc_console_client_id is not None:
                return settings
        return None

    @routes.get("console", min_role=None, hidden=True)
    async def console(query: PageVisit, known: IfNoneMatch | None, gzip: AcceptsGzip | None) -> FileReply:  # noqa: ARG001  # a provider sends people back with a query, which the page reads
        """Show the console.

        It loads nothing from elsewhere, and asks the routes of this API alone.
        """
        return page(_origins(provider())).answer(known, accepts_gzip=bool(gzip))

    @routes.get("console/config.json", min_role=None, hidden=True)
    async def console_sign_in() -> SignInReply:
        """Tell the console how people can sign in beside a key."""
        found = provider()
        if found is None:
            return SignInReply()
        return SignInReply(
            issuer=found.oidc_issuer,
            client_id=found.oidc_console_client_id,
            scopes=found.oidc_console_scopes,
        )

    @routes.get("console/a/{release}/{*path}", min_role=None, hidden=True)
    async def console_file(path: AssetPath, known: IfNoneMatch | None, gzip: AcceptsGzip | None) -> FileReply:
        """Give a file that the console loads."""
        return assets().find(path.release, path.path).answer(known, accepts_gzip=bool(gzip))

    return routes.blueprint


def _origins(provider: "OidcSettings | None") -> tuple[str, ...]:
    """Return the origins that the page asks when people sign in with the provider."""
    if provider is None:
        return ()
    named = (provider.oidc_issuer, provider.oidc_jwks_url)
    parts = [urlsplit(url) for url in named if url is not None]
    return tuple(sorted({f"{part.scheme}://{part.netloc}" for part in parts}))
