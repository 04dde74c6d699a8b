"""The folder of a part's data, which is private to the user who runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER: Final = 0o700
_FILE: Final = 0o600


def make_private(database: Path) -> None:
    """Have a database file, what SQLite keeps beside it and the folder be their owner's alone.

    SQLite gives its logs the mode of the database. A folder that holds other things too keeps its own mode.
    """
    folder = database.parent
    folder.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
    database.touch(_FILE)
    files = list(folder.iterdir())
    own = [file for file in files if file.name.startswith(database.name)]
    if own == files:
        folder.chmod(_FOLDER)
    for file in own:
        file.chmod(_FILE)
