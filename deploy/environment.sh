#!/usr/bin/env bash
# Makes .venv out of the given hash-pinned requirement files and our own packages; leaves alone what is as it should be.
#
#     deploy/environment.sh deploy/local/requirements.txt [tests/requirements.txt]
#
# Each part leaves a mark when it is done. While anything is being installed the environment is not marked as complete:
# what a killed run leaves behind is made anew, not trusted.
set -euo pipefail
cd "$(dirname "$0")/.."

complete=.venv/.complete
packages=(shared services/profiles services/segmentation services/tickets services/loyalty gateway deploy/local)

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    cat >&2 <<'WORDS'
Python 3.11 or newer is needed and was not found.
  Debian 12, Ubuntu 24.04 or newer:   apt-get install python3 python3-venv
  If it is installed under another name, say which:   make up PYTHON=/path/to/python3
WORDS
    return 1
}

check_venv_module() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    cat >&2 <<'WORDS'
This Python lacks the modules `venv` and `ensurepip`, with which environments are made.
  Debian, Ubuntu:   apt-get install python3-venv
WORDS
    return 1
}

is_sound() {
    # The folder's own path is part of it: an environment does not survive being moved.
    [[ -f $complete && $(<$complete) == "$(pwd -P)" ]] && .venv/bin/python -c 'import pip' 2>/dev/null
}

# install WHAT MARK FILES-THAT-DECIDE... -- PIP-ARGUMENTS...
install() {
    local what=$1 mark=.venv/$2 deciding=()
    shift 2
    while [[ $1 != -- ]]; do deciding+=("$1"); shift; done
    shift
    local digest
    digest=$(cat "${deciding[@]}" | .venv/bin/python -c 'import hashlib, sys; print(hashlib.file_digest(sys.stdin.buffer, "sha256").hexdigest())')
    [[ -f $mark && $(<"$mark") == "$digest" ]] && return
    echo "Installing $what"
    rm -f $complete
    .venv/bin/python -m pip install --disable-pip-version-check --no-input "$@" | progress
    echo "$digest" >"$mark"
    pwd -P >$complete
}

progress() {
    if [[ -t 1 ]]; then
        awk '/^(Collecting|Obtaining|Downloading|Building)/ { printf "\r\033[K  %d %s", ++n, substr($2, 1, 60); fflush() }
             /^Installing/ { printf "\r\033[K  unpacking"; fflush() }
             END { printf "\r\033[K" }'
    else
        grep -E '^(WARNING|ERROR)' || true
    fi
}

# Two who start at once take turns; the second finds everything done.
if command -v flock >/dev/null; then
    exec 9<"deploy/environment.sh"
    flock 9
fi
if ! is_sound; then
    python=$(find_python)
    check_venv_module "$python"
    echo "Making the environment in .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
    pwd -P >$complete
fi
for requirements in "$@"; do
    install "what $requirements pins" ".${requirements//\//-}" "$requirements" -- --require-hashes -r "$requirements"
done
install "our own packages" .packages "${packages[@]/%//pyproject.toml}" -- \
    --no-deps --no-index --no-build-isolation "${packages[@]/#/--editable=./}"
