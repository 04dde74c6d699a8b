"""A part that does nothing: it follows the parts' contract, or breaks it in the way that it is told to.

`python -m tests.unit_tests.local_platform.fake_part NAME PORT FOLDER HOW` notes each start in FOLDER/NAME.
"""

from __future__ import annotations

import http.server
import os
import signal
import socket
import socketserver
import sys
import threading
from pathlib import Path

from local import part


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Say nothing."""


def main() -> int:
    name, port, folder, how = sys.argv[1:5]
    with (Path(folder) / name).open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    if how == "dies" or (how == "works once" and len((Path(folder) / name).read_text().split()) > 1):
        return 7
    if how == "lacks":
        sys.stderr.write("Node is not on PATH\n")
        return part.EXIT_MISSING
    if how == "silent":
        signal.pause()
    if how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write("a line that is no announcement\n")
    with socketserver.TCPServer(("127.0.0.1", int(port)), Answer, bind_and_activate=False) as server:
        if "--listen-fd" in sys.argv:
            server.socket.close()
            server.socket = socket.socket(fileno=int(sys.argv[sys.argv.index("--listen-fd") + 1]))
            server.server_address = server.socket.getsockname()
        else:
            server.server_bind()
            server.server_activate()
        part.announce(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        if how == "dies later":
            return 9
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    # The contract's signals: SIGTERM stops it cleanly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main())
