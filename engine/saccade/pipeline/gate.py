"""Whether a camera's scene is still: decided from small pictures and from compressed sizes, by its own noise.

Pure state machines: no clock, no threads but one lock; every call says what time it is, s, and the same calls give the
same answers. Times are the pictures' own (`Frame.time`).

- `PictureGate` compares a small luma picture with what it remembers of the scene. A change of light as a whole (gain
  and offset) is taken out; what is left counts where it is far above the noise that this place of this camera has had.
- `SizeGate` watches how large compressed pictures are. Those of a still scene scatter by the sensor's noise round what
  their place in the group leads to expect; a cumulative sum (E. S. Page, Continuous Inspection Schemes, 1954) finds the
  jump as well as the small shift that stays.
- `Gate` joins them: sizes say what is worth decoding, pictures say what is worth a look of the network. Pictures are
  the judge: sizes of pictures that were seen to be still are learned, and sizes that miss what pictures show are not
  trusted any more.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.capture.gating import SHRINK
from saccade.frame import Image
from saccade.geometry import Region

Floats = NDArray[np.float32]

HOLD_SECONDS = 0.5
"""So long after the last motion the scene still counts as moving, s."""


class PictureGate:
    """Sees motion in small luma pictures, uint8 (h, w); a shape that changes is motion, as is the first picture.

    regions : only there; parts of the picture, or px of the camera's own. Without any: anywhere.
    """

    MEMORY = 2.0
    """Time in which the remembered scene follows a slow change, s."""
    SIGMAS = 7.0
    """A change is one where it is so many times the noise."""
    LEAST_NOISE = 0.6
    """What rounding and compression alone may do to a mean of 3x3 pixels, levels."""
    LEAST_AREA = 4
    """So many pixels must have changed."""
    LEARNING = 0.03
    """Weight of the newest picture in the noise of a place."""
    TOLERANCE = 30.0
    """What moves for ever, as leaves in the wind, becomes noise: its variance doubles in so long, s."""

    __slots__ = ("_inside", "_least", "_regions", "_scene", "_sigmas", "_time", "_variance")

    def __init__(self, sensitivity: float = 1.0, regions: Sequence[Region] = ()) -> None:
        self._sigmas = self.SIGMAS / sensitivity
        self._regions = tuple(regions)
        self._inside: NDArray[np.bool_] | None = None
        self._least = self.LEAST_AREA
        self._scene: Floats | None = None
        self._variance: Floats = np.zeros((0, 0), np.float32)
        self._time = 0.0

    def look(self, luma: Image, time: float) -> bool:
        """True where something has moved since the pictures before."""
        smooth = _smooth(luma)
        passed, self._time = time - self._time, time
        if self._scene is None or self._scene.shape != smooth.shape or passed < 0:
            self._scene, self._variance = smooth, np.zeros_like(smooth)
            if self._regions:
                self._inside = _inside(self._regions, smooth.shape)
                self._least = min(self.LEAST_AREA, int(np.count_nonzero(self._inside)))
            return True
        change, variance, moved = self._compared(self._scene, smooth)
        learned = change * change
        learned -= self._variance
        learned *= np.float32(self.LEARNING)
        learned += self._variance
        # The scene of now, wherever it moved, so that what has stopped is still at once.
        change *= np.float32(math.exp(-passed / self.MEMORY))
        scene = np.subtract(smooth, change, out=change)
        if moved.any():
            learned[moved] = variance[moved] * np.float32(1 + passed / self.TOLERANCE)
            scene[moved] = smooth[moved]
        self._variance, self._scene = learned, scene
        return self._matters(moved)

    def differs(self, luma: Image) -> bool:
        """True where `look` would see motion; nothing is learned."""
        smooth = _smooth(luma)
        if self._scene is None or self._scene.shape != smooth.shape:
            return True
        return self._matters(self._compared(self._scene, smooth)[2])

    def _matters(self, moved: NDArray[np.bool_]) -> bool:
        """Whether so much has moved where it counts."""
        counted = moved if self._inside is None else moved & self._inside
        return int(np.count_nonzero(counted)) >= self._least

    def _compared(self, scene: Floats, smooth: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """How the picture differs from the scene, the variance of the noise there, and where it is more than that."""
        change = smooth - _lit_as(scene, smooth)
        usual = max(1.4826 * float(np.median(np.abs(change[::2, ::2]))), self.LEAST_NOISE)
        variance = np.maximum(self._variance, np.float32(usual * usual))
        return change, variance, change * change > variance * np.float32(self._sigmas**2)


def _inside(regions: Sequence[Region], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels of a small picture the regions touch."""
    inside = np.zeros(shape, np.bool_)
    for region in regions:
        down, across = (1 / SHRINK, 1 / SHRINK) if max(region) > 1 else shape
        x, y, width, height = region
        rows = slice(math.floor(y * down), math.ceil((y + height) * down))
        inside[rows, math.floor(x * across) : math.ceil((x + width) * across)] = True
    return inside


def _smooth(luma: Image) -> Floats:
    """Means of 3x3: a third of the noise, and an object has more than one pixel."""
    import cv2

    smooth: Any = cv2.boxFilter(luma, cv2.CV_32F, (3, 3))
    return smooth  # type: ignore[no-any-return]


def _lit_as(scene: Floats, picture: Floats) -> Floats:
    """The scene under the light of the picture: gain and offset of the best fit, with little trust in flat scenes."""
    mean, bright = float(scene.mean()), float(picture.mean())
    centred = scene - np.float32(mean)
    doubt = 25.0 * scene.size
    shared = float(np.vdot(centred, picture - np.float32(bright)))
    gain = (shared + doubt) / (float(np.vdot(centred, centred)) + doubt)
    centred *= np.float32(min(max(gain, 0.5), 2.0))
    centred += np.float32(bright)
    return centred


class SizeGate:
    """Sees a change in the sizes of compressed pictures of one kind, bytes.

    Encoders spend their bytes by the place in the group of pictures: after a key frame more, or less, than later. Each
    place has its own expectation; places far from the key frame share one.

    both : smaller ones tell as well as larger ones.
    """

    WINDOW = 128
    """So many deviations of a still scene are remembered."""
    FEWEST = 16
    """With fewer nothing is usual yet."""
    SLACK = 1.0
    """What a size may be above what is expected without adding to the sum, in deviations."""
    LIMIT = 7.0
    """The sum that is a change, in deviations."""
    LEAST_DEVIATION = 40.0
    """Deviation of a stream of packets that say that nothing changed, bytes."""
    LEARNING = 0.2
    """Weight of the newest size in what its place leads to expect."""

    __slots__ = ("_above", "_below", "_both", "_deviation", "_expected", "_fresh", "_median", "_rests")

    def __init__(self, *, both: bool = False) -> None:
        self._both = both
        self._expected: dict[int, float] = {}
        self._rests: deque[float] = deque(maxlen=self.WINDOW)
        self._fresh = 0
        self._median = self._deviation = self._above = self._below = 0.0

    def look(self, size: int, *, learn: bool, place: int = 0, unknown: bool = True) -> bool:
        """True where sizes have changed; `unknown` where they cannot tell yet.

        learn : the scene is still, as far as anybody else knows. place : pictures since the key frame.
        """
        step = place if place < 16 else 16 + int(8 * math.log2(place / 16))
        expected = self._expected.get(step)
        if expected is None:
            if learn:
                self._expected[step] = size
            return unknown
        rest = size - expected
        if learn:
            self._expected[step] = expected + self.LEARNING * rest
            self._rests.append(rest)
            self._fresh += 1
        if len(self._rests) < self.FEWEST:
            return unknown
        if not self._deviation or self._fresh >= 8:
            self._settle()
        distance = (rest - self._median) / self._deviation
        self._above = max(0.0, self._above + distance - self.SLACK)
        self._below = max(0.0, self._below - distance - self.SLACK) if self._both else 0.0
        changed = max(self._above, self._below) > self.LIMIT
        if changed:
            self._above = self._below = 0.0
        return changed

    def _settle(self) -> None:
        """Median and deviation of what is remembered; sizes have a long tail upwards."""
        self._fresh = 0
        rests = np.array(self._rests, np.float64)
        self._median, high = (float(value) for value in np.quantile(rests, (0.5, 0.95)))
        spread = 1.4826 * float(np.median(np.abs(rests - self._median)))
        self._deviation = max(spread, (high - self._median) / 1.645, self.LEAST_DEVIATION)


class Gate:
    """Whether a camera's pictures are worth decoding, and worth the network's look.

    Parameters
    ----------
    always_every : a picture is looked at after so long in any case, s.
    hold : how long after the last motion the scene counts as moving, s.
    sensitivity : above 1 less motion is enough, below 1 more is needed.
    regions : of the picture in which motion counts, as of `PictureGate`. Compressed sizes are those of the whole
        picture: what moves elsewhere may have it decoded.
    """

    REST = 0.5
    """Pictures that decode on their own are decoded at least so often, whatever their sizes say, s."""
    DISTRUST = 300.0
    """How long sizes are not asked that have missed motion, s."""

    def __init__(
        self, *, always_every: float = 10.0, hold: float = HOLD_SECONDS, sensitivity: float = 1.0,
        regions: Sequence[Region] = (),
    ) -> None:  # fmt: skip
        for name, value in (("always_every", always_every), ("hold", hold)):
            if not value > 0:
                raise ValueError(f"{name}: got {value}; expected seconds, above 0")
        if not sensitivity > 0:
            raise ValueError(f"sensitivity: got {sensitivity}; expected a number above 0")
        self._sensitivity = sensitivity
        self._regions = regions
        self._always_every = always_every
        self._hold = hold
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget the scene: another camera, or the same one after a restart."""
        with self._lock:
            self._pictures = PictureGate(self._sensitivity, self._regions)
            self._sizes: dict[bool, SizeGate] = {}
            self._moving_until = self._open_until = self._trust_from = -math.inf
            self._decoded = self._woken = -math.inf
            self._newest = -math.inf
            self._moving = True
            self._hits = self._misses = 0

    @property
    def moving(self) -> bool:
        """What the newest picture said."""
        return self._moving

    def worth_decoding(self, size: int, time: float, *, place: int = 0, later: bool = False) -> bool:
        """True where a compressed picture of so many bytes may show something new.

        place : pictures since the key frame that it needs; 0: it decodes on its own, as JPEG does. later : it can still
        be decoded when the next key frame shows motion, so that sizes need not be trusted.
        """
        with self._lock:
            self._check_order(time)
            alone = place == 0
            sizes = self._sizes.setdefault(alone, SizeGate(both=alone))
            if sizes.look(size, learn=not self._moving, place=place, unknown=not later):
                self._open_until = time + (0.0 if alone else self._hold)
            due = time - self._decoded >= (self.REST if alone else self._always_every)
            doubted = time < self._trust_from and not later
            wanted = time <= max(self._open_until, self._moving_until) or doubted or due
            if wanted:
                self._decoded = time
            return wanted

    def worth_a_look(self, luma: Image, time: float) -> bool:
        """True where the network should look at a picture. luma : uint8 (h, w), an eighth of the picture's size."""
        with self._lock:
            self._check_order(time)
            # The first picture is news, and no motion.
            known = self._woken > -math.inf
            moved = self._pictures.look(luma, time) and known
            if moved:
                if time > self._moving_until:
                    self._judge_sizes(time)
                self._moving_until = time + self._hold
            self._decoded = time
            self._moving = time <= self._moving_until
            wake = self._moving or time - self._woken >= self._always_every
            if wake:
                self._woken = time
            return wake

    def differs(self, luma: Image) -> bool:
        """True where a picture shows another scene than is remembered; nothing is learned."""
        with self._lock:
            return self._pictures.differs(luma)

    def _judge_sizes(self, time: float) -> None:
        """Motion began: had the sizes said so?"""
        if time <= self._open_until:
            self._hits += 1
        elif time >= self._trust_from:
            self._misses += 1
            if self._misses > 2 + self._hits // 4:
                self._trust_from = time + self.DISTRUST
                self._hits = self._misses = 0

    def _check_order(self, time: float) -> None:
        """Times that run back by more than the order of decoding begin anew."""
        if time < self._newest - 1.0:
            self._moving_until = self._open_until = self._trust_from = self._decoded = self._woken = -math.inf
            self._newest = time
        self._newest = max(self._newest, time)
