#!/bin/sh
# Puts everything that the project needs into its own folder: uv, Python and its packages, Azurite, the tokenizers'
# ranks, the console's libraries and what judges its pages in tests. Each step leaves a stamp and is skipped while what
# it depends on is unchanged.
set -eu

UV_VERSION=0.13.8
RANKS_FROM="litellm==1.80.0"
RANKS="fb374d419588a4632f3f557e76b4b70aebbca790 446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d
9b5ad71b2ce5302211f9c61530b329a4922fc6a4 223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"

cd "$(dirname "$0")/../.."
tools="$PWD/.tools"
stamps="$tools/stamps"
axe=tests/integration_tests/console/axe
mkdir -p "$stamps"

say() { printf 'setup: %s\n' "$*" >&2; }
lack() {
    say "$1 is missing. Debian, Ubuntu: apt install $2. macOS: $3."
    exit 3
}

# done_for NAME FILE...: whether NAME was done for these files as they are now.
sum() { cat "$@" | cksum; }
done_for() {
    name=$1
    shift
    [ -f "$stamps/$name" ] && [ "$(cat "$stamps/$name")" = "$(sum "$@")" ]
}
stamp() {
    name=$1
    shift
    sum "$@" > "$stamps/$name"
}

find_uv() {
    if [ -x "$tools/uv/bin/uv" ]; then
        uv="$tools/uv/bin/uv"
    elif command -v uv >/dev/null 2>&1; then
        uv=$(command -v uv)
    else
        command -v python3 >/dev/null 2>&1 || lack "Python 3" "python3 python3-venv" "brew install python"
        say "installing uv $UV_VERSION into .tools"
        python3 -m venv "$tools/uv" || lack "Python's venv" "python3-venv" "brew install python"
        "$tools/uv/bin/pip" install --quiet --disable-pip-version-check "uv==$UV_VERSION"
        uv="$tools/uv/bin/uv"
    fi
}

python_packages() {
    if [ -x .venv/bin/python ] && done_for packages uv.lock pyproject.toml .python-version; then return; fi
    { command -v cc || command -v gcc || command -v clang; } >/dev/null 2>&1 ||
        lack "A C compiler (python-qpid-proton is built from source)" "gcc" "xcode-select --install"
    find_uv
    say "installing Python packages into .venv"
    UV_PYTHON_INSTALL_DIR="$tools/python" "$uv" sync --frozen --quiet --compile-bytecode
    stamp packages uv.lock pyproject.toml .python-version
}

node_20() {
    from="nodejs npm (where that is older: https://nodejs.org)"
    command -v node >/dev/null 2>&1 || lack "Node 20 or newer" "$from" "brew install node"
    major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
    [ "$major" -ge 20 ] || lack "Node 20 or newer (this is $(node --version))" "$from" "brew install node"
}

azurite_is_there() { [ -d local/azurite/node_modules/azurite ] && done_for azurite local/azurite/package-lock.json; }

npm_if_wanted() {
    { azurite_is_there && console_is_there && axe_is_there; } || command -v npm >/dev/null 2>&1 || lack "npm" "npm" "brew install node"
}

azurite() {
    folder=local/azurite
    if azurite_is_there; then return; fi
    say "installing Azurite into $folder"
    npm ci --prefix "$folder" --no-audit --no-fund --no-update-notifier --loglevel=error >&2
    stamp azurite "$folder/package-lock.json"
}

console_is_there() {
    [ -f functions/console/static/vendor/libraries.js ] && done_for console local/setup/console/SHA256SUMS
}

console_libraries() {
    if console_is_there; then return; fi
    say "installing the console's libraries into functions/console/static/vendor"
    local/setup/console.sh
    stamp console local/setup/console/SHA256SUMS
}

axe_is_there() { [ -f "$axe/node_modules/axe-core/axe.min.js" ] && done_for axe "$axe/package-lock.json"; }

axe_core() {
    if axe_is_there; then return; fi
    say "installing axe-core, which judges pages in tests, into $axe"
    npm ci --prefix "$axe" --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error >&2
    stamp axe "$axe/package-lock.json"
}

ranks_are_there() {
    echo "$RANKS" | while read -r name expected; do
        [ -f "shared/llm/ranks/$name" ] || exit 1
        [ "$(sha256 "shared/llm/ranks/$name")" = "$expected" ] || exit 1
    done
}

sha256() { .venv/bin/python -c 'import hashlib,sys; print(hashlib.sha256(open(sys.argv[1],"rb").read()).hexdigest())' "$1"; }

token_ranks() {
    if [ -f "$stamps/ranks" ] && [ -f shared/llm/ranks/fb374d419588a4632f3f557e76b4b70aebbca790 ]; then return; fi
    if ! ranks_are_there; then
        find_uv
        say "taking the tokenizers' ranks from $RANKS_FROM"
        rm -rf "$tools/ranks"
        "$uv" pip install --quiet --no-deps --target "$tools/ranks" --python .venv/bin/python "$RANKS_FROM"
        echo "$RANKS" | while read -r name expected; do
            found="$tools/ranks/litellm/litellm_core_utils/tokenizers/$name"
            if [ "$(sha256 "$found")" != "$expected" ]; then
                say "$name is not what it should be: its SHA-256 differs"
                exit 1
            fi
            mv "$found" "shared/llm/ranks/$name"
        done
        rm -rf "$tools/ranks"
    fi
    : > "$stamps/ranks"
}

# Asked first: what is installed before them takes its time.
node_20
npm_if_wanted
python_packages
azurite
token_ranks
console_libraries
axe_core
