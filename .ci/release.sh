#!/bin/sh
# Make what a release has, up to the upload: release.sh FOLDER.
#
# A source distribution; from that, a wheel for each Python from 3.10 up that is at hand, marked with the oldest Linux it
# runs on; a bill of materials of a fresh installation (CycloneDX); the hashes of all. Built from what is committed.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
rm -f "$out"/saccade_engine-* "$out"/saccade-engine.cdx.json "$out/SHA256SUMS"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$root/.venv/bin/python" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet --upgrade pip
(cd "$root" && "$work/tools/bin/python" -m pip install --quiet --group release)
export PATH="$work/tools/bin:$PATH"

git clone --quiet "$root" "$work/clone"
SOURCE_DATE_EPOCH=$(git -C "$work/clone" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
python -m build --sdist --outdir "$out" "$work/clone" >/dev/null

for version in 3.10 3.11 3.12 3.13 3.14; do
    python=$(sh "$root/.ci/python.sh" "$version") || { echo "Python $version is not at hand: no wheel for it"; continue; }
    "$python" -m venv "$work/build$version"
    "$work/build$version/bin/python" -m pip --quiet wheel --no-deps --wheel-dir "$work/raw" "$out"/saccade_engine-*.tar.gz
done
for wheel in "$work"/raw/*.whl; do auditwheel repair --wheel-dir "$out" "$wheel" >/dev/null; done

"$work/tools/bin/python" -m venv "$work/installed"
"$work/installed/bin/python" -m pip install --quiet --find-links "$out" --only-binary saccade-engine --no-index --no-deps saccade-engine
"$work/installed/bin/python" -m pip install --quiet --find-links "$out" saccade-engine
cyclonedx-py environment --output-reproducible --of JSON -o "$out/saccade-engine.cdx.json" "$work/installed/bin/python"

twine check --strict "$out"/saccade_engine-*
(cd "$out" && sha256sum saccade* > SHA256SUMS)
ls -l "$out"
echo "to upload: twine upload $1/saccade_engine-*"
