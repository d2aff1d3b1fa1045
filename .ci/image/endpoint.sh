#!/bin/sh
# The entry point under SageMaker, which starts containers as root and may leave the model readable for root alone. Root
# is given up at once where nothing needs it; signals reach saccade itself, as each step takes the place of the last.
set -eu
model=/opt/ml/model
if [ "$(id -u)" = 0 ]; then
    set -- setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs saccade "$@"
    unreadable=$(setpriv --reuid 10001 --regid 10001 --clear-groups find "$model" ! -readable -print -quit 2>&1)
    if [ -d "$model" ] && [ -n "$unreadable" ]; then
        echo "this goes on as root: nobody else reads $model ($unreadable)" >&2
        while [ "$1" != saccade ]; do shift; done
    fi
    exec "$@"
fi
exec saccade "$@"
