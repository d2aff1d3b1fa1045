#!/bin/sh
# Make a virtual environment: venv.sh PYTHON FOLDER. Debian's Python comes without ensurepip, so there is a second and
# a third way; the last resort says what to install.
set -eu
python=$1
folder=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "$python is older than Python 3.10; give a newer one: make PYTHON=python3.12 ..." >&2
    exit 1
}
if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv "$folder"
elif "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv --without-pip "$folder"
    "$python" -m pip --quiet --python "$folder/bin/python" install pip
elif command -v virtualenv >/dev/null 2>&1; then
    virtualenv --quiet --python "$python" "$folder"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv python3-dev >/dev/null
    "$python" -m venv "$folder"
else
    echo "$python can make no virtual environment with pip; install it once: sudo apt-get install python3-venv" >&2
    exit 1
fi
"$folder/bin/python" -m pip install --quiet --upgrade pip
