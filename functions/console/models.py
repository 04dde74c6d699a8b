"""Paths, queries and replies of the console's own routes; everything else it asks of the API."""

from __future__ import annotations

from pydantic import ConfigDict

from shared.http.models import PathModel, QueryModel, ReplyModel


class AssetPath(PathModel):
    """Path of one of the console's files.

    Attributes:
        release: The release that a page was made for; the file never changes under it.
        path: The file, such as `lib/api.js`.
    """

    release: str
    path: str


class PageVisit(QueryModel):
    """Query of the page: a provider that sends people back adds what it likes."""

    model_config = ConfigDict(extra="ignore")


class SignInReply(ReplyModel):
    """The ways to sign in beside a key.

    Attributes:
        issuer: The OpenID Connect provider; None where there is none.
        client_id: The client that the console is there.
        scopes: What the console asks for.
    """

    issuer: str | None = None
    client_id: str | None = None
    scopes: str | None = None
