"""What a model's files are, in one number."""

from __future__ import annotations

import hashlib
from pathlib import Path


def model_digest(path: Path) -> str:
    """SHA-256 of all files that a model is read from: its own, its weights, whatever they are called, and the
    descriptions beside it. Raises ModelError where the file or its weights are not there.
    """
    from saccade.formats.load import identify
    from saccade.formats.metadata import files_beside
    from saccade.formats.parts import parts_of

    found = hashlib.sha256()
    for name, file in sorted((parts_of(identify(path)) | files_beside(path)).items()):
        found.update(name.encode())
        add_content(found, file)
    return found.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of one file."""
    found = hashlib.sha256()
    add_content(found, path)
    return found.hexdigest()


def add_content(digest: hashlib._Hash, path: Path) -> None:
    """Let a file's bytes into a digest."""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
