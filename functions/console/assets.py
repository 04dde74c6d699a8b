"""The console's files: read once, packed once, each under a path that names the release."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from functions.console.errors import AssetNotFoundError, ConsoleNotInstalledError
from shared.http.responses import HTML, FileReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

BASE = "/api/console"
PAGE = "index.html"
LIBRARIES: Mapping[str, str] = {
    "preact": "vendor/preact.js",
    "preact/hooks": "vendor/preact-hooks.js",
    "htm": "vendor/htm.js",
    "@preact/signals": "vendor/signals.js",
    "@preact/signals-core": "vendor/signals-core.js",
}
"""Files of the libraries by the names that modules import them by."""

_FIRST = ("app.js", "pages/overview.js")
"""What the first page runs; what they import by a statement is loaded with them, before it is asked for."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_IMPORT = re.compile(r'(?:from|^import)\s*"([^"]+)"', re.MULTILINE)
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
        first: The modules that the first page runs, in the order in which they are found.
        template: The page, with places for what depends on the release.
    """

    release: str
    files: Mapping[str, StaticFile]
    first: tuple[str, ...]
    template: str
    _import_map: str = field(repr=False)

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
        if missing := sorted(set(LIBRARIES.values()) - contents.keys()):
            raise ConsoleNotInstalledError(missing)
        template = (folder / PAGE).read_text(encoding="utf-8")
        release = _name_release({**contents, PAGE: template.encode()})
        files = {
            name: StaticFile.of(content, {"content-type": _type_of(name), "cache-control": _FOREVER})
            for name, content in contents.items()
        }
        imports = {name: f"{BASE}/a/{release}/{path}" for name, path in LIBRARIES.items()}
        first = tuple(find_imports(contents, _FIRST))
        return cls(release, files, first, template, json.dumps({"imports": imports}, separators=(",", ":")))

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
        preloads = "\n".join(
            f'<link rel="modulepreload" href="{html.escape(f"{base}/{name}")}">' for name in self.first
        )
        page = (
            self.template.replace("{base}", base)
            .replace("{preloads}", preloads)
            .replace("{importmap}", self._import_map)
        )
        return StaticFile.of(
            page.encode(),
            {
                "content-type": HTML,
                "cache-control": "no-cache",
                "content-security-policy": self._policy(origins),
            },
        )

    def _policy(self, origins: Iterable[str]) -> str:
        digest = base64.b64encode(hashlib.sha256(self._import_map.encode()).digest()).decode()
        return "; ".join(
            [
                "default-src 'none'",
                f"script-src 'self' 'sha256-{digest}'",
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


def find_imports(contents: Mapping[str, bytes], names: Iterable[str]) -> list[str]:
    """Return modules with all that they import by statements, each once, depth first."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in found or name not in contents:
            return
        found[name] = None
        for imported in _IMPORT.findall(contents[name].decode()):
            if imported in LIBRARIES:
                visit(LIBRARIES[imported])
            elif imported.startswith("."):
                visit(posixpath.normpath(posixpath.join(posixpath.dirname(name), imported)))

    for name in names:
        visit(name)
    return list(found)


def drop_comments(content: bytes) -> bytes:
    """Return a file without the comments that have lines of their own; each line keeps its number.

    They are a sixth of what is sent.
    """
    return _COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), content)


def _name_release(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_RELEASE_CHARACTERS]


def _type_of(name: str) -> str:
    return _TYPES[f".{name.rpartition('.')[2]}"]
