#!/usr/bin/env bash
# Makes all requirements.txt files anew: versions and hashes for every platform, no addresses. `deploy/lock.sh --upgrade` takes newer versions.
#
# The local runner needs everything that runs, so its file comes first and the others are held to its versions: what is
# tested is what each image holds.
set -euo pipefail
cd "$(dirname "$0")/.."

ours=(crm-shared crm-profiles crm-segmentation crm-tickets crm-loyalty crm-gateway crm-local)
master=deploy/local/requirements.txt

# compile OUTPUT ARGUMENTS...
compile() {
    local output=$1
    shift
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "${ours[@]/#/--no-emit-package=}" \
        --output-file "$output" "$@"
    echo "$output: $(grep -c '==' "$output") packages"
}

compile $master deploy/local/pyproject.toml "$@"
for part in services/{profiles,segmentation,tickets,loyalty} gateway; do
    # setuptools builds our own packages, in the image as here.
    compile "$part/requirements.txt" "$part/pyproject.toml" deploy/build.in --constraints $master
done
compile tests/requirements.txt tests/requirements.in deploy/local/pyproject.toml --constraints $master "$@"
