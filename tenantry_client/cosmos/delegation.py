"""Operations that azure-cosmos does for this client, where it is installed: all but those on items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tenantry_client.cosmos.client_core import ClientCore

_PASSED_ON: Final = (
    "consistency_level",
    "preferred_locations",
    "connection_verify",
    "multiple_write_locations",
    "excluded_locations",
    "user_agent_suffix",
)


class ClientFace(Protocol):
    """A client as its databases and containers need it."""

    @property
    def client_connection(self) -> ClientCore:
        """Its settings, and what it knows."""
        ...

    def sdk(self, method: str | None = None) -> Any:  # noqa: ANN401 - azure-cosmos's own client
        """Return azure-cosmos's client of the same account; what it is to do is counted."""
        ...


class _Face(Protocol):
    @property
    def client_connection(self) -> ClientCore: ...

    def _sdk(self) -> Any: ...  # noqa: ANN401 - whatever the caller or the service has


class Delegated:
    """A method or property of azure-cosmos under the same name; its results are azure-cosmos's own."""

    def __init__(self) -> None:
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, face: _Face, owner: type) -> Any:  # noqa: ANN401 - whatever the caller or the service has
        face.client_connection.delegated[self._name] += 1
        return getattr(face._sdk(), self._name)  # noqa: SLF001 - both are one part


def refuse_properties(options: Mapping[str, Any]) -> None:
    """Refuse what would make a method return something else than it says.

    Raises:
        TypeError: The properties of what is made are asked for.
    """
    if options.get("return_properties"):
        raise TypeError("'return_properties' is not taken here: `read` returns the properties")


def options_of_sdk(options: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of a client that azure-cosmos's client is to be opened with."""
    return {name: options[name] for name in _PASSED_ON if name in options}


def missing_sdk(error: ImportError) -> ImportError:
    """Build the error that says how to get azure-cosmos."""
    return ImportError(
        f"this is done by azure-cosmos, which is not installed: pip install azure-cosmos ({error})"
    )
