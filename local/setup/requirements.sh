#!/bin/sh
# Exports requirements.txt, which Azure installs, from the lock. With --check: fails where the two differ.
set -eu
cd "$(dirname "$0")/../.."
uv=.tools/uv/bin/uv
[ -x "$uv" ] || uv=$(command -v uv) || { echo "requirements: uv is missing, run make setup" >&2; exit 3; }
export_lock() {
    "$uv" export --quiet --frozen --no-default-groups --no-emit-project --no-header --format requirements.txt
}
if [ "${1:-}" = --check ]; then
    export_lock | diff - requirements.txt >&2 || { echo "requirements.txt is not what the lock says: make format" >&2; exit 1; }
else
    export_lock > requirements.txt
fi
