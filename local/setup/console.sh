#!/bin/sh
# Puts the libraries of the console into functions/console/static/vendor: from npm, by the lock, each checked by its
# sum as it is served.
set -eu

cd "$(dirname "$0")/../.."
from="$PWD/local/setup/console"
to="$PWD/functions/console/static/vendor"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

cp "$from/package.json" "$from/package-lock.json" "$made"
npm ci --prefix "$made" --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error >&2
modules="$made/node_modules"
mkdir "$made/vendor"

# Their source maps are not here: what points to them is left out.
take() { grep -v '^//# sourceMappingURL=' "$modules/$1" | sed 's,//# sourceMappingURL=.*$,,' > "$made/vendor/$2"; }
take preact/dist/preact.module.js preact.js
take preact/hooks/dist/hooks.module.js preact-hooks.js
take htm/dist/htm.module.js htm.js
take @preact/signals/dist/signals.module.js signals.js
take @preact/signals-core/dist/signals-core.module.js signals-core.js

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
