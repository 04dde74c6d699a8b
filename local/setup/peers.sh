#!/bin/sh
# Installs what the benchmarks compare with into .tools/peers: its pins cannot share the app's environment.
set -eu

cd "$(dirname "$0")/../.."
pins=tests/benchmarks/peers/requirements.txt
stamp=.tools/stamps/peers
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(cksum < "$pins")" ] && exit 0

if [ -x .tools/uv/bin/uv ]; then uv=.tools/uv/bin/uv; else uv=$(command -v uv); fi
echo "setup: installing the benchmarks' peers into .tools/peers" >&2
mkdir -p .tools/stamps
"$uv" venv --quiet --clear --python .venv/bin/python .tools/peers
"$uv" pip install --quiet --python .tools/peers/bin/python --require-hashes -r "$pins"
cksum < "$pins" > "$stamp"
