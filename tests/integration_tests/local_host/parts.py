"""Start the other parts of the local platform that triggers need."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[3]

AZURITE_ACCOUNT = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1O"
    "UzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@contextmanager
def running_part(name: str, data_dir: Path, *flags: str) -> Iterator[int]:
    """Run `python -m local.<name>` until the block ends, and give its port."""
    process = subprocess.Popen(  # noqa: S603 -- our own command line
        [sys.executable, "-m", f"local.{name}", "--port", "0", "--data-dir", str(data_dir), *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    try:
        if process.stdout is None:
            raise RuntimeError("no stdout")
        line = process.stdout.readline()
        if not line.startswith("listening "):
            raise RuntimeError(f"local.{name} did not start")
        yield int(json.loads(line.removeprefix("listening "))["port"])
    finally:
        process.terminate()
        process.wait(30)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def blob_connection(port: int) -> str:
    """Return the connection string of an Azurite."""
    return f"{AZURITE_ACCOUNT};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"


def servicebus_connection(port: int) -> str:
    """Return the connection string of the local Service Bus."""
    return (
        f"Endpoint=sb://localhost:{port};SharedAccessKeyName=RootManageSharedAccessKey;"
        "SharedAccessKey=SAS_KEY_VALUE;UseDevelopmentEmulator=true;"
    )
