#!/bin/sh
# Build the wheel from a clean clone and try it, outside the repository, on each Python >= 3.10 that is installed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone --quiet "$root" "$work/clone"
for version in 3.10 3.11 3.12 3.13 3.14; do
    python=$(sh "$root/.ci/python.sh" "$version") || { echo "Python $version: not installed here, not tried"; continue; }
    venv="$work/venv$version"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip --quiet wheel --no-deps --wheel-dir "$work/dist$version" "$work/clone"
    "$venv/bin/python" -m pip install --quiet "$work"/dist"$version"/saccade_engine-*.whl
    (
        cd "$work"
        "$venv/bin/python" "$root/.ci/try_wheel.py"
        "$venv/bin/saccade" --version
        "$venv/bin/saccade" doctor >/dev/null
    )
    if [ -z "${cloud:-}" ]; then
        cloud=$(ls "$work"/dist"$version"/saccade_engine-*.whl)
        "$venv/bin/python" -m pip install --quiet "${cloud}[cloud-local]"
        (cd "$work" && "$venv/bin/python" "$root/.ci/try_cloud.py")
    fi
    echo "Python $version: wheel built, installed and tried"
    rm -rf "$venv"
done

# Without a compiler the kernels in Numba serve, and say so once.
python=$(command -v "${PYTHON:-python3}")
"$python" -m venv "$work/plain"
git clone --quiet "$root" "$work/bare"  # the other clone holds what was compiled for the wheels above
CC=false "$work/plain/bin/python" -m pip --quiet wheel --no-deps --wheel-dir "$work/dist-plain" "$work/bare" 2>/dev/null
"$work/plain/bin/python" -m pip install --quiet "$work"/dist-plain/saccade_engine-*.whl
(cd "$work" && SACCADE_TRY=numba "$work/plain/bin/python" -W always "$root/.ci/try_wheel.py" 2>"$work/warnings") ||
    { echo "the wheel without compiled kernels does not work:"; cat "$work/warnings"; exit 1; }
test "$(grep -c 'those in Numba are used' "$work/warnings")" = 1 || { cat "$work/warnings"; exit 1; }
echo "without a compiler: works on Numba, with one warning"
