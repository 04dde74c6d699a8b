"""The console's files: read once, packed once, each under a path that names the release."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.console.errors import AssetNotFoundError, ConsoleNotInstalledError
from functions.console.modules import join_modules, order_modules
from shared.http.responses import HTML, FileReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

BASE = "/api/console"
PAGE = "index.html"
BEGIN = "begin.js"
"""Stands in the page itself."""

LIBRARIES = "vendor/libraries.js"
LIBRARY_NAMES = ("preact", "preact/hooks", "htm", "@preact/signals")
"""Names that modules import the libraries by; one file has what all of them export."""

ENTRY = "app.js"
"""What the page runs; it is sent with every module that the first page needs."""

_FIRST = ("pages/overview.js", ENTRY)

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_COMMENT = re.compile(rb"^[ \t]*/\*(?:(?!\*/).)*+\*/[ \t]*$", re.DOTALL | re.MULTILINE)
_FOREVER = "public, max-age=31536000, immutable"
_RELEASE_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file, with all that is ever said of it.

    Attributes:
        content: Its bytes.
        packed: The same by gzip, or None where that is not smaller.
        headers: Its type, ETag and how long it may be kept.
    """

    content: bytes
    packed: bytes | None
    headers: Mapping[str, str]

    @classmethod
    def of(cls, content: bytes, headers: Mapping[str, str]) -> StaticFile:
        """Pack a file, and name its state."""
        packed = gzip.compress(content, 9, mtime=0)
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        said = {"etag": etag, "vary": "accept-encoding", **headers}
        return cls(content, packed if len(packed) < len(content) else None, said)

    def answer(self, known: str | None, *, accepts_gzip: bool) -> FileReply:
        """Answer a client that may have it already.

        Args:
            known: The If-None-Match header: ETags, or `*`.
            accepts_gzip: Whether it takes gzip.
        """
        named = {one.strip().removeprefix("W/") for one in (known or "").split(",")}
        if named & {self.headers["etag"], "*"}:
            return FileReply(b"", self.headers, unchanged=True)
        if accepts_gzip and self.packed is not None:
            return FileReply(self.packed, {**self.headers, "content-encoding": "gzip"})
        return FileReply(self.content, self.headers)


@dataclass(frozen=True, slots=True)
class Assets:
    """The page and the files that it loads; no other file can be asked for.

    Attributes:
        release: The name of this state of all files; part of each file's path.
        files: Each file by its path.
        joined: The modules that are sent as the first of the page, in the order in which they run.
        template: The page, with places for what depends on the release.
        begin: The script that stands in it.
    """

    release: str
    files: Mapping[str, StaticFile]
    joined: tuple[str, ...]
    template: str
    begin: str

    @classmethod
    def read(cls, folder: Path) -> Assets:
        """Read the console's folder.

        Raises:
            ConsoleNotInstalledError: The set-up has not put the libraries there.
        """
        contents = {
            path.relative_to(folder).as_posix(): drop_comments(path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.suffix in _TYPES and path.is_file()
        }
        if LIBRARIES not in contents:
            raise ConsoleNotInstalledError([LIBRARIES])
        begin = contents.pop(BEGIN)
        template = (folder / PAGE).read_bytes()
        joined = order_modules(contents, _FIRST)
        entry = join_modules(contents, joined, ENTRY)
        sent = {name: content for name, content in contents.items() if name not in joined} | {ENTRY: entry}
        files = {name: StaticFile.of(content, _headers_of(name, sent)) for name, content in sent.items()}
        release = _name_release({**sent, PAGE: template, BEGIN: begin})
        return cls(release, files, tuple(joined), template.decode(), begin.decode().strip())

    def find(self, release: str, path: str) -> StaticFile:
        """Return a file of this release.

        Raises:
            AssetNotFoundError: There is none.
        """
        found = self.files.get(path) if release == self.release else None
        if found is None:
            raise AssetNotFoundError(path)
        return found

    def build_page(self, origins: Iterable[str]) -> StaticFile:
        """Build the page and its policy.

        Args:
            origins: Where else the page may ask: the provider that people sign in with.
        """
        base = f"{BASE}/a/{self.release}"
        imports = dict.fromkeys(LIBRARY_NAMES, f"{base}/{LIBRARIES}")
        imports |= {f"{base}/{name}": f"{base}/{ENTRY}" for name in self.joined if name != ENTRY}
        inline = {"begin": self.begin, "importmap": json.dumps({"imports": imports}, separators=(",", ":"))}
        page = self.template.replace("{base}", base)
        for name, script in inline.items():
            page = page.replace(f"{{{name}}}", script)
        return StaticFile.of(
            page.encode(),
            {
                "content-type": HTML,
                "cache-control": "no-cache",
                "content-security-policy": _build_policy(inline.values(), origins),
            },
        )


def _build_policy(inline: Iterable[str], origins: Iterable[str]) -> str:
    """Build the policy of the page: it admits scripts of its origin, and those in it by their sums."""
    sums = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *(f"'sha256-{digest}'" for digest in sums)]),
            "style-src 'self'",
            "img-src 'self' data:",
            " ".join(["connect-src 'self'", *origins]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def drop_comments(content: bytes) -> bytes:
    """Return a file without the comments that have lines of their own; each line keeps its number.

    They are a sixth of what is sent.
    """
    return _COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), content)


def _headers_of(name: str, sent: Mapping[str, bytes]) -> dict[str, str]:
    """Return a file's headers; those of a module name what it imports, to be asked for at once."""
    headers = {"content-type": _type_of(name), "cache-control": _FOREVER}
    if needed := [one for one in order_modules(sent, [name]) if one != name]:
        up = "../" * name.count("/")
        headers["link"] = ", ".join(f"<{up}{one}>; rel=modulepreload" for one in needed)
    return headers


def _name_release(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_RELEASE_CHARACTERS]


def _type_of(name: str) -> str:
    return _TYPES[f".{name.rpartition('.')[2]}"]
