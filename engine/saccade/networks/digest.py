"""What a model's files are, in one number."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path

_OF_MODELS = frozenset(
    (".bin", ".xml", ".onnx", ".data", ".json", ".params", ".prototxt", ".caffemodel", ".pb", ".cfg", ".weights",
     ".yaml")
)  # fmt: skip
"""Suffixes of files that belong to a model of the same name."""


def model_digest(path: Path) -> str:
    """SHA-256 of an artifact's file, or folder, and of those beside it that have its name, as weights do."""
    stem = glob.escape(path.name.removesuffix("-symbol.json").removesuffix(path.suffix))
    beside = {path, *path.parent.glob(f"{stem}[.-]*"), path.parent / "metadata.yaml"}
    files = path.rglob("*") if path.is_dir() else (f for f in beside if f == path or f.suffix in _OF_MODELS)
    found = hashlib.sha256()
    for file in sorted(files):
        if file.is_file():
            found.update(file.name.encode())
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
