"""Darknet's `.cfg` files: the layers of a network as sections of options, in the order of the graph.

Format: darknet `src/parser.c`, `src/option_list.c`: `[section]`, `key=value`, comments after # or ;.
"""

from __future__ import annotations

from pathlib import Path

from saccade.errors import ModelError

_LARGEST = 1 << 20  # bytes


def read(path: Path) -> list[dict[str, str]]:
    """Sections in order: their options as texts, and the section's name under `section`.

    Raises ModelError where the file is not of that kind.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ModelError(f"{path} is larger than {_LARGEST >> 20} MB, so hardly a darknet .cfg")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as a darknet .cfg ({error})") from error
    sections: list[dict[str, str]] = []
    for line in text.splitlines():
        line = line.split("#")[0].split(";")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            sections.append({"section": line[1:-1].strip()})
        elif "=" in line and sections:
            key, _, value = line.partition("=")
            sections[-1][key.strip()] = value.strip()
    if not sections or sections[0]["section"] not in ("net", "network"):
        raise ModelError(f"{path} is no darknet .cfg: it does not begin with [net]")
    return sections
