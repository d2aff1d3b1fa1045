"""First looks at files that come from strangers."""

from __future__ import annotations

import re
from pathlib import Path

from saccade.errors import ModelError

_HEAD = 65536  # bytes: more than any prolog and comment before an IR's root element


def read_head(path: Path) -> bytes:
    """First bytes of a model file or of its weights; raises ModelError where they show that it is something else."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if not head:
        raise ModelError(f"{path} is empty; get a fresh copy of the file")
    if head.startswith(b"version https://git-lfs"):
        raise ModelError(f"{path} is a git-LFS pointer, not the file itself; fetch it with `git lfs pull`")
    if re.match(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", head, re.IGNORECASE | re.DOTALL):
        raise ModelError(f"{path} is a web page, not a model: the download went wrong; fetch the file again")
    return head
