#!/bin/sh
# Makes the virtual environment as locked: `sh local/bootstrap.sh PYTHON VENV DISTRIBUTION...`, in
# the folder of the Makefile. What may be missing on a new machine is asked for first, and every
# failure is one sentence with what to do.
set -u
python=$1 venv=$2
shift 2

fail() {
    echo "failed: $1" >&2
    exit 1
}

another="make PYTHON=/path/to/python3.12"
command -v "$python" >/dev/null 2>&1 ||
    fail "there is no $python on PATH: install Python 3.11 to 3.14, or name one: $another"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
    fail "$python does not start: name a Python that does: $another"
case $version in
3.11 | 3.12 | 3.13 | 3.14) ;;
*) fail "$python is Python $version; the platform needs 3.11 to 3.14: $another" ;;
esac
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python cannot make virtual environments: on Debian and Ubuntu, apt install python3-venv; or $another"
mkdir -p "$venv" build 2>/dev/null && [ -w "$venv" ] && [ -w build ] ||
    fail "$(pwd) cannot be written, and .venv and build belong there: clone it to a folder that can"

log=build/setup.log
# pip and uv repeat what fails and say so at length; the last lines say why.
attempt() {
    what=$1
    shift
    "$@" >"$log" 2>&1 || fail "$what; the last lines of $log:
$(tail -n 5 "$log" | sed 's/^/  /')"
}

echo "setting up $venv as locked, with Python $version" >&2
attempt "$python could not make $venv" "$python" -m venv --clear "$venv"
network="is there a network, and is HTTPS_PROXY or PIP_INDEX_URL right"
attempt "uv could not be fetched from the package index ($network?)" \
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 2 \
    --require-hashes -r requirements-bootstrap.lock
network="is there a network, and is HTTPS_PROXY or UV_DEFAULT_INDEX right"
attempt "packages could not be installed ($network, and the disk not full?)" \
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes \
    -r requirements.lock
editable=
for distribution; do
    editable="$editable --editable $distribution"
done
# Names of folders in this repository: none has a blank.
# shellcheck disable=SC2086
attempt "the platform's own packages could not be installed" \
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-index $editable
pwd -P >"$venv/.ready"
