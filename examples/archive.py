"""A network in somebody's own Ray Data pipeline over pictures and videos.

python examples/archive.py blazeface-full recordings --rate 5
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import saccade


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many objects of each kind there are in each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="file, or name from `saccade models list`")
    parser.add_argument("folder")
    parser.add_argument("--rate", type=float, default=5.0, help="frames a second of videos")
    parser.add_argument("--ray", action="store_true", help="under Ray Data, with an actor a core")
    options = parser.parse_args(arguments)

    paths = sorted(str(path) for path in Path(options.folder).iterdir() if path.is_file())
    settings = {"model": options.model, "rate": options.rate}
    if options.ray:
        import ray

        files = ray.data.from_items([{"path": path} for path in paths])
        rows = files.map_batches(
            saccade.Archive, fn_constructor_kwargs=settings, batch_size=4, num_cpus=1, batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=8),
        ).take_all()  # fmt: skip
    else:
        import pyarrow

        rows = saccade.Archive(**settings)(pyarrow.table({"path": paths})).to_pylist()

    count = Counter((row["path"], row["label"] or row["status"]) for row in rows)
    for (path, label), number in sorted(count.items()):
        print(f"{Path(path).name}: {number} {label}")


if __name__ == "__main__":
    main()
