"""Edge function: where a head points, in nine directions. Settings come from the environment; see docs/migrating.md.

python app.py
"""

from __future__ import annotations

import sys
from typing import Any

from saccade.service.edge import main


def function_handler(event: Any, context: Any) -> None:
    """Nothing: like the functions of a DeepLens, this one runs for as long as the device does."""


if __name__ == "__main__":
    sys.exit(main("head-pose"))
