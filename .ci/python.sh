#!/bin/sh
# The interpreter of a version, if it is at hand: python.sh 3.12.
for candidate in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
    if "$candidate" -c 'import ensurepip' >/dev/null 2>&1; then
        command -v "$candidate"
        exit 0
    fi
done
exit 1
