#!/bin/sh
# Prints the part of requirements.lock, hashes included, that one distribution needs:
# `sh infra/images/locked.sh services/etl`, in the root of the repository. uv resolves which
# packages these are; versions and hashes are the lock's.
set -eu
names=$(uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 \
    --constraints requirements.lock --no-emit-package ugc-events --no-emit-package ugc-settings \
    "$1/pyproject.toml")
printf '%s\n' "$names" | awk '
    FILENAME == "-" { sub(/==.*/, "", $1); wanted[$1]; next }
    /^[a-z0-9]/ { name = $1; sub(/==.*/, "", name); kept = name in wanted }
    kept
' - requirements.lock
