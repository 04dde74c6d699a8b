"""Modules of the console as one: on a slow network, the number of requests is what is waited for."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_IMPORTED = re.compile(r'(?:from|^import)\s*"(\.[^"]+)"', re.MULTILINE)
_NAMES = re.compile(r'^import \{ (\w+(?:, \w+)*) \} from "([^"]+)";\n', re.MULTILINE)
_REFERENCE = re.compile(r'\b(from |import |import\()"(\.[^"]+)"')


def order_modules(contents: Mapping[str, bytes], entries: Iterable[str]) -> list[str]:
    """Return modules with what their statements import, each once, in the order in which they run.

    Args:
        contents: Each file's bytes, by its path.
        entries: Paths of the modules to begin with.
    """
    seen: set[str] = set()
    found: list[str] = []

    def visit(name: str) -> None:
        if name in seen or name not in contents:
            return
        seen.add(name)
        for imported in _IMPORTED.findall(contents[name].decode()):
            visit(_resolve(name, imported))
        found.append(name)

    for entry in entries:
        visit(entry)
    return found


def join_modules(contents: Mapping[str, bytes], ordered: Sequence[str], path: str) -> bytes:
    """Return one module that does what others do one after the other, and exports all that they export.

    Their texts follow each other as they are. What they import of each other is there without a statement,
    and names of a library are imported once; any other reference stays, as seen from the new place. An import
    map has to lead the paths of what was joined to it. No two modules may declare one name: a test has Node
    read the result.

    Args:
        contents: Each file's bytes, by its path.
        ordered: The modules' paths, as `order_modules` returns them.
        path: Where the new module stands.
    """
    libraries: dict[str, set[str]] = {}
    texts = []
    for name in ordered:
        text = contents[name].decode()
        for names, source in _NAMES.findall(text):
            if not source.startswith("."):
                libraries.setdefault(source, set()).update(names.split(", "))
            elif _resolve(name, source) not in ordered:
                continue
            text = text.replace(f'import {{ {names} }} from "{source}";\n', "", 1)
        texts.append(f"// {name}\n{_move(text, name, path).strip()}\n")
    imports = [
        f'import {{ {", ".join(sorted(names))} }} from "{name}";\n' for name, names in libraries.items()
    ]
    return "".join([*imports, *texts]).encode()


def _move(text: str, module: str, path: str) -> str:
    """Return a module's text with its references as they are from another place."""
    folder = posixpath.dirname(path) or "."

    def refer(reference: re.Match[str]) -> str:
        moved = posixpath.relpath(_resolve(module, reference[2]), folder)
        return f'{reference[1]}"{moved if moved.startswith(".") else f"./{moved}"}"'

    return _REFERENCE.sub(refer, text)


def _resolve(module: str, imported: str) -> str:
    """Return the path of a file by how a module names it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(module), imported))
