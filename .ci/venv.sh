#!/bin/sh
# Make a virtual environment with pip: venv.sh PYTHON FOLDER.
#
# Debian's and Ubuntu's Python come without ensurepip and without the C headers. As root the missing packages are
# installed; otherwise they are downloaded and unpacked into FOLDER, which needs no rights. The folder of headers, if
# one was needed, is left in FOLDER/cpath for the compiler.
set -eu
python=$1
folder=$2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "$python is older than Python 3.10; give a newer one: make PYTHON=python3.12 ..." >&2
    exit 1
}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
has_pip() { "$python" -c 'import ensurepip' 2>/dev/null; }
has_headers() { "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; }

if { ! has_pip || ! has_headers; } && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || true
    apt-get install -y -qq --no-install-recommends "python$version-venv" "libpython$version-dev" >/dev/null || true
fi

if has_pip; then
    "$python" -m venv "$folder"
else
    "$python" -m venv --without-pip "$folder"
fi

# Packages that only have to lie somewhere: fetched by apt-get without rights, lists and all.
fetch() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 || return 1
    apt=$folder/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    set -- -qq -o Dir::State::Lists="$(realpath "$apt/lists")" -o Dir::Cache="$(realpath "$apt/cache")" \
        -o Debug::NoLocking=1 -- "$@"
    options=""
    for word; do [ "$word" = -- ] && break; options="$options $word"; shift; done
    shift
    # shellcheck disable=SC2086
    [ -n "$(ls "$apt"/lists/*Packages* 2>/dev/null)" ] || apt-get $options update >/dev/null 2>&1 || return 1
    # shellcheck disable=SC2086
    (cd "$apt" && apt-get $options download "$@" >/dev/null 2>&1) || return 1
    for package in "$apt"/*.deb; do dpkg -x "$package" "$apt/root" && rm "$package"; done
}

if ! has_pip; then
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip --quiet --python "$folder/bin/python" install pip
    elif fetch python3-pip-whl; then
        wheel=$(ls "$folder"/apt/root/usr/share/python-wheels/pip-*.whl)
        PYTHONPATH=$wheel "$folder/bin/python" -m pip install --quiet pip
    else
        rm -rf "$folder"
        echo "$python can make no virtual environment with pip; install it once: sudo apt-get install python3-venv" >&2
        exit 1
    fi
fi
if ! has_headers && fetch "libpython$version-dev"; then
    root=$(realpath "$folder/apt/root")
    echo "$root/usr/include/python$version:$root/usr/include" > "$folder/cpath"
fi
"$folder/bin/python" -m pip install --quiet --upgrade pip
