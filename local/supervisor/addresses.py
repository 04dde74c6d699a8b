"""Where the parts answer, as addresses for people and as the settings that the app reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.azurite.account import ACCOUNT, connection_string

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Published by Microsoft, the same in every emulator, and worth nothing elsewhere.
COSMOS_KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="

_READY_NAMES = {"host": "app", "azurite": "blob"}


def servicebus_connection_string(port: int) -> str:
    """Build what the Service Bus SDK connects with."""
    return (
        f"Endpoint=sb://localhost:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
    )


def ready_line(ports: Mapping[str, int]) -> dict[str, str]:
    """Give the address of each part that runs, by the names of the ready line."""
    addresses = {
        "host": "http://localhost:{}",
        "cosmos": "http://localhost:{}",
        "servicebus": "sb://localhost:{}",
        "llm": "http://localhost:{}",
        "azurite": f"http://127.0.0.1:{{}}/{ACCOUNT}",
    }
    return {_READY_NAMES.get(part, part): addresses[part].format(port) for part, port in ports.items()}


def app_settings(ports: Mapping[str, int], data_dir: Path) -> dict[str, str]:
    """Give the settings that lead the app to the parts that run; it keeps its own for those that don't."""
    settings = {"LOG_DIR": str(data_dir / "logs")}
    if "cosmos" in ports:
        settings |= {"COSMOS_ENDPOINT": f"http://localhost:{ports['cosmos']}", "COSMOS_KEY": COSMOS_KEY}
    if "servicebus" in ports:
        settings |= {"SERVICEBUS": servicebus_connection_string(ports["servicebus"])}
    if "azurite" in ports:
        storage = connection_string(ports["azurite"])
        settings |= {"STORAGE": storage, "AzureWebJobsStorage": storage}
    if "llm" in ports:
        settings |= {
            "AZURE_OPENAI_ENDPOINT": f"http://localhost:{ports['llm']}",
            "AZURE_OPENAI_API_KEY": "local",
        }
    return settings
