#!/bin/sh
# Installs a list of pins into .tools/NAME: what the app is compared with, or has to serve, cannot share its environment.
# peers.sh NAME FILE
set -eu

cd "$(dirname "$0")/../.."
name=$1
pins=$2
stamp=.tools/stamps/$name
[ -f "$stamp" ] && [ -x ".tools/$name/bin/python" ] && [ "$(cat "$stamp")" = "$(cksum < "$pins")" ] && exit 0

if [ -x .tools/uv/bin/uv ]; then uv=.tools/uv/bin/uv; else uv=$(command -v uv); fi
echo "setup: installing $(basename "$pins") into .tools/$name" >&2
mkdir -p .tools/stamps
"$uv" venv --quiet --clear --python .venv/bin/python ".tools/$name"
"$uv" pip install --quiet --python ".tools/$name/bin/python" --require-hashes -r "$pins"
cksum < "$pins" > "$stamp"
