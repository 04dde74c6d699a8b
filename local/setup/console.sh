#!/bin/sh
# Puts the libraries of the console into functions/console/static/vendor: from npm, by the lock, made one file by
# esbuild, which is checked by its sum as it is served. After a change of either: local/setup/console.sh --write.
set -eu

cd "$(dirname "$0")/../.."
from="$PWD/local/setup/console"
to="$PWD/functions/console/static/vendor"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

cp "$from/package.json" "$from/package-lock.json" "$from/libraries.js" "$made"
npm ci --prefix "$made" --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error >&2
(cd "$made" && node_modules/.bin/esbuild libraries.js --bundle --format=esm --target=es2022 --minify \
    --log-level=warning --outfile=vendor/libraries.js >&2)

sums() { (cd "$1" && for file in *; do printf '%s  %s\n' "$("$OLDPWD/.venv/bin/python" -c 'import hashlib,sys; print(hashlib.sha256(open(sys.argv[1],"rb").read()).hexdigest())' "$file")" "$file"; done); }
if [ "${1:-}" = "--write" ]; then
    sums "$made/vendor" > "$from/SHA256SUMS"
elif [ "$(sums "$made/vendor")" != "$(cat "$from/SHA256SUMS")" ]; then
    echo "setup: a library of the console is not what it should be: its SHA-256 differs" >&2
    exit 1
fi
rm -rf "$to"
mkdir -p "$to"
cp "$made/vendor"/* "$to"
