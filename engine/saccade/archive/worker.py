"""A worker of the local pool: `python -m saccade.archive.worker`. Tasks come as lines of JSON, reports go as such.

It ends with its driver, however that ends. What it cannot go on after it says in its last words.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Do tasks until there are no more."""
    driver = int(sys.argv[1])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != driver:
        return 0
    # Libraries print to standard output; the reports keep it for themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def say(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")

    from saccade.archive.order import Order
    from saccade.archive.shard import Shard, task_from
    from saccade.errors import SaccadeError
    from saccade.memory import give_back_large_blocks

    give_back_large_blocks()
    try:
        first = json.loads(sys.stdin.readline())
        shard = Shard(Order(**first["order"]), first["out"])
        say(ready=shard.examiner.digest)
        for line in sys.stdin:
            say(report=shard(task_from(json.loads(line)), lambda index: say(at=index)).plain())
    except SaccadeError as error:
        say(fatal=str(error))
        return 2
    except Exception as error:  # of a library, by a file: the driver asks another worker, and then writes it down
        say(words=f"{type(error).__name__}: {error}".splitlines()[0][:300])
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
