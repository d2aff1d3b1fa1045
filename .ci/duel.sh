#!/bin/sh
# Is this commit slower than the one before it (or than SACCADE_BASE: a revision or a wheel)? Five minutes of CPU time
# at most, and building twice. Red where both the clock and the count of instructions say so. Without history, as in a
# shallow clone, and where nothing of the stages that it times has changed, there is nothing to compare.
set -eu
base=${SACCADE_BASE:-HEAD~1}
if [ ! -e "$base" ]; then
    if ! git rev-parse --quiet --verify "$base^{commit}" >/dev/null 2>&1; then
        echo "no $base here: not compared with another build; the gate's counts and ratios stand alone"
        exit 0
    fi
    if git diff --quiet "$base" -- ext setup.py pyproject.toml \
        engine/saccade/kernels engine/saccade/predict engine/saccade/tracking \
        engine/saccade/results.py engine/saccade/geometry.py engine/saccade/outputs/events.py; then
        echo "what a duel times is the same as at $base: nothing to compare"
        exit 0
    fi
    base=$(git rev-parse "$base")
fi
status=0
.venv/bin/python -m bench.duel "$base" . || status=$?
[ "$status" != 2 ] || { echo "not compared with another build"; exit 0; }
exit "$status"
