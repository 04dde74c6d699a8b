"""One set of variables for a shell, which every page's commands use: printed, and kept in `env.sh`."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from local.azurite.account import connection_string as storage_connection_string
from local.supervisor.addresses import servicebus_connection_string

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from local.tour.journey import Tenant

FILE = "env.sh"
_PRIVATE = 0o600


def exports(addresses: Mapping[str, str], admin_key: str, tenants: Sequence[Tenant]) -> dict[str, str]:
    """Give the variables: the first tenant is the one that examples speak for, the second is another one."""
    variables = {"TENANTRY_URL": addresses["app"]} if "app" in addresses else {}
    for prefix, tenant in zip(("TENANTRY", "TENANTRY_OTHER"), tenants, strict=False):
        variables |= {f"{prefix}_TENANT": tenant.demo.tenant_id, f"{prefix}_KEY": tenant.key}
    if "app" in addresses:
        variables["ADMIN_API_KEY"] = admin_key
    if "servicebus" in addresses:
        port = int(addresses["servicebus"].rpartition(":")[2])
        variables["TENANTRY_SERVICEBUS"] = servicebus_connection_string(port)
    if "blob" in addresses:
        port = int(addresses["blob"].rpartition("/")[0].rpartition(":")[2])
        variables["TENANTRY_STORAGE"] = storage_connection_string(port)
    if "llm" in addresses:
        variables["TENANTRY_LLM_URL"] = addresses["llm"]
    return variables


def lines_of(variables: Mapping[str, str]) -> list[str]:
    """Write the variables as a shell reads them."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def write_exports(path: Path, variables: Mapping[str, str]) -> None:
    """Replace the file whole; nobody else may read it, since it holds keys."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines_of(variables))
    draft.replace(path)


def read_exports(path: Path) -> dict[str, str]:
    """Read what an earlier run wrote; nothing where there is none."""
    try:
        words = shlex.split(path.read_text(encoding="utf-8"), comments=True)
    except (OSError, ValueError):
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def known_keys(variables: Mapping[str, str]) -> dict[str, str]:
    """Give the tenants' keys that an earlier run made."""
    pairs = ((f"{prefix}_TENANT", f"{prefix}_KEY") for prefix in ("TENANTRY", "TENANTRY_OTHER"))
    return {
        variables[tenant]: variables[key] for tenant, key in pairs if tenant in variables and key in variables
    }
