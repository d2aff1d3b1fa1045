"""How far the local stand-in's geometric estimate of emotions is from the emotion network's answers.

    python -m bench.emotions PICTURE... [--network M]

PICTURE : files or folders of JPEG and PNG pictures. Every face that the stand-in finds in them is answered twice, by
the mesh's geometry and by the network (default: emotions-recognition-retail-0003, which `saccade models pull` fetches).
Counted are the faces whose strongest emotion is the same, among the five that the network knows; beside them the share
that agrees by chance alone (from how often each of both names each emotion), and the mean difference of the
probabilities. Neither is a measure of how anybody feels.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.deploy.analyst import EMOTION_NETWORK, EMOTION_OF_CLASS, FaceAnalyst
from saccade.deploy.detect import InvalidImageError
from saccade.errors import SaccadeError
from saccade.networks import catalogue

KNOWN = tuple(EMOTION_OF_CLASS.values())

Emotions = dict[str, float]


@dataclass(frozen=True, slots=True)
class Agreement:
    """faces : compared. same : with the same strongest emotion. chance : share that would be without any relation.

    difference : mean over faces and emotions of the probabilities' difference. pairs : (estimate, network) -> faces.
    """

    faces: int
    same: int
    chance: float
    difference: float
    pairs: Counter[tuple[str, str]]


def compare(answers: Iterable[tuple[Emotions, Emotions]]) -> Agreement:
    """Of (estimate, network) for each face: probabilities by emotion; those that the network lacks are left out."""
    pairs: Counter[tuple[str, str]] = Counter()
    apart = 0.0
    for estimate, network in answers:
        total = sum(estimate[name] for name in KNOWN)
        scaled = {name: estimate[name] / total for name in KNOWN}
        pairs[max(KNOWN, key=scaled.__getitem__), max(KNOWN, key=network.__getitem__)] += 1
        apart += sum(abs(scaled[name] - network[name]) for name in KNOWN) / len(KNOWN)
    faces = pairs.total()
    if not faces:
        return Agreement(0, 0, 0.0, 0.0, pairs)
    ours, theirs = (Counter[str]() for _ in range(2))
    for (estimated, seen), count in pairs.items():
        ours[estimated] += count
        theirs[seen] += count
    chance = sum(ours[name] * theirs[name] for name in KNOWN) / faces**2
    return Agreement(faces, sum(pairs[name, name] for name in KNOWN), chance, apart / faces, pairs)


def answers(pictures: Sequence[Path], network: str) -> Iterator[tuple[Emotions, Emotions]]:
    """Both answers for each face of the pictures."""
    geometry, seeing = FaceAnalyst(emotions=""), FaceAnalyst(emotions=network)
    for path in pictures:
        try:
            both = geometry(path.read_bytes()), seeing(path.read_bytes())
        except InvalidImageError as error:
            print(f"{path}: {error}", file=sys.stderr)
            continue
        yield from zip(*(map(_emotions, faces) for faces in both), strict=True)


def _emotions(face: dict[str, Any]) -> Emotions:
    return {emotion["Type"]: emotion["Confidence"] / 100 for emotion in face["Emotions"]}


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", type=Path)
    parser.add_argument("--network", metavar="M", default=EMOTION_NETWORK)
    options = parser.parse_args()
    if options.network == EMOTION_NETWORK and not any(entry.is_pulled() for entry in catalogue.find(EMOTION_NETWORK)):
        print(f"the emotion network is not here: saccade models pull {EMOTION_NETWORK}", file=sys.stderr)
        return 2
    files = [f for p in options.pictures for f in (sorted(p.rglob("*")) if p.is_dir() else [p])]
    pictures = [f for f in files if f.suffix.lower() in (".jpg", ".jpeg", ".png")]
    try:
        found = compare(answers(pictures, options.network))
    except (SaccadeError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if not found.faces:
        print(f"no face in {len(pictures)} pictures", file=sys.stderr)
        return 1
    print(f"{found.faces} faces in {len(pictures)} pictures: the same emotion for {found.same} "
          f"({found.same / found.faces:.0%}; by chance {found.chance:.0%}), "
          f"probabilities {found.difference:.2f} apart")  # fmt: skip
    for (estimated, seen), count in found.pairs.most_common():
        print(f"{count:6}  estimate {estimated.lower():9}  network {seen.lower()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
