#!/bin/sh
# Builds the wheel of tenantry_client into dist/, or into the folder that is given.
set -eu
cd "$(dirname "$0")/../.."
uv=.tools/uv/bin/uv
[ -x "$uv" ] || uv=$(command -v uv) || { echo "client: uv is missing, run make setup" >&2; exit 3; }
out=${1:-dist}
rm -f "$out"/tenantry_client-*.whl
"$uv" build --quiet --wheel --python .venv/bin/python --out-dir "$out" tenantry_client
ls "$out"/tenantry_client-*.whl
