"""One word for one thing: a public class has a name of its own in the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import saccade

SAME_OF_EACH = {
    "formats": {"GraphBuilder", "Layer", "Options"},
    "predict": {"Grids", "Map", "Reading", "Tables"},
}
"""What each format, or each family of networks, has in its own module: the same thing in a form of its own."""

OF_OLD_INTERFACES = {"awscam.py": {"Model"}, "inference_engine.py": {"Blob"}}
"""Names that old scripts use."""


def test_no_two_public_classes_have_one_name() -> None:
    package = Path(saccade.__file__).parent
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(package.rglob("*.py")):
        room = file.relative_to(package).parts[0]
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                if node.name in OF_OLD_INTERFACES.get(file.name, ()):
                    continue
                where = room if node.name in SAME_OF_EACH.get(room, ()) else str(file.relative_to(package))
                if where not in places[node.name]:
                    places[node.name].append(where)
    assert len(places) > 300
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
