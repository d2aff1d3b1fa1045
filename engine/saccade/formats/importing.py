"""What all importers share: layers with typed attributes, the table of their builders, and how each is refused.

An importer reads its files into layers of a plain graph and looks the builder of each up in its table; the builder
makes values of the pieces in `layers`. To add a layer type, write a function beside its like and register it:

    @LAYERS.builds("Power")
    def power(layer: Layer) -> Value:
        return layers.power(layer.input(), layer.number("power", 1), ...)

What a builder raises need not name the file or the layer: `build` and `naming` do.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.core import reason
from saccade.formats.layers import Array, Value
from saccade.formats.shapes import Shapes

_log = logging.getLogger(__name__)

N = TypeVar("N", int, float)

_MOST_NUMBERS = 4096  # of one attribute
_LARGEST = 2**53  # floats hold all whole numbers up to it
_NUMBER = re.compile(r"([-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,4})?|inf|nan))[lf]?|([-+]?0x[0-9a-f]{1,16})", re.I)
_TRUE, _FALSE = frozenset({"1", "true", "yes", "t"}), frozenset({"0", "false", "no", "f"})


@contextmanager
def naming(what: object) -> Iterator[None]:
    """Put a file or a layer in front of what is said to be wrong with it."""
    try:
        yield
    except ModelError as error:
        raise type(error)(f"{what}: {error}") from error
    except OSError as error:
        raise ModelError(f"{what}: cannot be read ({error.strerror or error}); check the path") from error


class Attributes:
    """What a file says of a layer, as the layer's builder expects it.

    Values are texts; an absent or empty one gives the default, and without a default it is an error. Lists may have
    brackets, commas, semicolons; numbers Python 2's L or C's f behind them, or be hexadecimal.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def texts(self, key: str) -> Sequence[str]:
        """All values of an attribute; none where it is absent."""
        text = self._texts.get(key, "").strip()
        return () if text in ("", "None") else (text,)

    def __contains__(self, key: str) -> bool:
        return bool(self.texts(key))

    def text(self, key: str, default: str | None = None) -> str:
        """The attribute, or the last of its values, as it stands."""
        found = self.texts(key)
        if not found and default is None:
            raise ModelError(f"has no attribute {key}; expected one")
        return found[-1] if found else str(default)

    def numbers(
        self, key: str, default: Sequence[float] | None = None, *, most: int = _MOST_NUMBERS
    ) -> tuple[float, ...]:
        """Numbers, at most so many."""
        if key not in self:
            if default is None:
                raise ModelError(f"has no attribute {key}; expected numbers")
            return tuple(default)
        bare = (text.strip(" ()[],;") for text in self.texts(key))
        words = [word.strip() for text in bare if text for word in re.split("[,;]", text)]
        if len(words) > most:
            raise ModelError(f"attribute {key} has {len(words)} numbers; expected at most {most}")
        found = [_NUMBER.fullmatch(word) for word in words]
        values = tuple(float(m[1]) if m[1] else float(int(m[2], 16)) for m in found if m is not None)
        if len(values) != len(words):
            raise self.error(key, "numbers" if len(words) > 1 else "a number")
        if any(map(math.isnan, values)):
            raise self.error(key, "finite numbers")
        return values

    def number(self, key: str, default: float | None = None) -> float:
        """One number."""
        if default is not None and key not in self:
            return default
        return self._one(key, self.numbers(key))

    def integers(self, key: str, default: Sequence[int] | None = None, *, least: int = -_LARGEST) -> tuple[int, ...]:
        """Whole numbers, none below `least`."""
        values = self.numbers(key, default)
        if not all(least <= value <= _LARGEST and value == int(value) for value in values):
            raise self.error(key, f"whole numbers{f' from {least}' if least > -_LARGEST else ''}")
        return tuple(int(value) for value in values)

    def integer(self, key: str, default: int | None = None, *, least: int = -_LARGEST) -> int:
        """One whole number, not below `least`."""
        if default is not None and key not in self:
            return default
        return self._one(key, self.integers(key, least=least))

    def _one(self, key: str, values: tuple[N, ...]) -> N:
        if len(values) != 1:
            raise self.error(key, "one number")
        return values[0]

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """A truth value, as Python, C or protobuf write it."""
        word = self.text(key, None if default is None else str(default)).lower()
        if word not in _TRUE | _FALSE:
            raise self.error(key, "true or false")
        return word in _TRUE

    def choice(self, key: str, allowed: Sequence[str], default: str | None = None) -> str:
        """One of a few words, as `allowed` spells it, whatever its case in the file."""
        words = {word.lower(): word for word in allowed}
        word = self.text(key, default).lower()
        if word not in words:
            raise UnsupportedError(str(self.error(key, f"one of {', '.join(filter(None, words.values()))}")))
        return words[word]

    def error(self, key: str, expected: str) -> ModelError:
        """What to raise where an attribute is not as expected."""
        return ModelError(f"attribute {key} is {' '.join(self.texts(key))[:80]!r}; expected {expected}")


class Layer(Attributes):
    """One layer of a file while it is built: its operands, its weights, and its attributes, of which it is asked.

    kind : the layer type, as the file has it.
    """

    __slots__ = ("inputs", "kind", "name")

    def __init__(self, kind: str, name: str, texts: Mapping[str, str], inputs: Sequence[Value] = ()) -> None:
        super().__init__(texts)
        self.kind = kind
        self.name = name
        self.inputs = inputs

    def __str__(self) -> str:
        return f"layer {self.name} ({self.kind})"

    def __len__(self) -> int:
        """How many operands there are."""
        return len(self.inputs)

    def input(self, index: int = 0) -> Value:
        """An operand that must be there."""
        if not -len(self) <= index < len(self):
            raise ModelError(f"has {len(self)} inputs; expected at least {index + 1}")
        return self.inputs[index]

    def values(self) -> list[Value]:
        """All operands, of which there must be one."""
        return [self.input(index) for index in range(max(1, len(self)))]

    def built(self) -> list[Value]:
        """The operands that are in the graph by now."""
        return list(self.inputs)

    def dims(self, index: int = 0) -> tuple[int, ...]:
        """Shape of an operand."""
        return layers.dims(self.input(index))

    def spatial(self, index: int = 0) -> tuple[int, ...]:
        """Spatial shape of an operand (N, C, ...)."""
        shape = self.dims(index)
        if len(shape) < 3:
            raise ModelError(f"input {index} has the shape {shape}; expected batch, channels and spatial axes")
        return shape[2:]

    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the operands, for messages."""
        return [layers.dims(value) for value in self.built()]

    def axis(self, key: str = "axis", default: int | None = None, *, rank: int | None = None) -> int:
        """An attribute that is an axis of the first operand, counted from the front."""
        return layers.axis_of(self.integer(key, default), len(self.dims()) if rank is None else rank)


L = TypeVar("L", bound=Layer)
Built: TypeAlias = Value | Sequence[Value]


class LayerTable(dict[str, Callable[[L], Built]], Generic[L]):
    """What builds each layer type."""

    def builds(self, *kinds: str) -> Callable[[Callable[[L], Built]], Callable[[L], Built]]:
        """Register a builder for layer types."""

        def register(builder: Callable[[L], Built]) -> Callable[[L], Built]:
            self.update(dict.fromkeys(kinds, builder))
            return builder

        return register


def refuse_unknown(found: Iterable[tuple[str, str]], known: Container[str]) -> None:
    """Raise UnsupportedError that names all layer types which are not known, each with the first layer of it.

    found : type and name of each layer.
    """
    unknown: dict[str, list[str]] = {}
    for kind, name in found:
        if kind not in known:
            unknown.setdefault(one_line(kind), []).append(one_line(name))
    if unknown:
        told = [f"{kind} ({names[0]}{', ...' * (len(names) > 1)})" for kind, names in unknown.items()]
        raise UnsupportedError(
            f"uses layers that saccade does not have: {listed(told, 20)}; expected a network without them: convert the "
            "original model again, or export it to ONNX"
        )


def one_line(text: str) -> str:
    """A name of a stranger's file, for messages."""
    return " ".join(text.split())[:80]


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names of a list."""
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)


def build(layer: L, builder: Callable[[L], Built]) -> list[Value]:
    """The values of a layer, one for each output. What it makes is called after it; what is wrong names it."""
    with naming(layer):
        try:
            made = builder(layer)
            values: list[Value] = list(made) if isinstance(made, (list, tuple)) else [made]
            for value in values:
                layers.check_size(layers.dims(value), "its result")
        except (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError) as error:
            shapes = ", ".join(str(shape) for shape in layer.shapes())
            raise ModelError(
                f"does not fit its inputs {shapes}: {reason(error)[:300]}; expected attributes and shapes that fit "
                "together: the file is damaged or was edited"
            ) from error
    handed_on = any(value is operand for operand in layer.built() for value in values)
    if values and layer.name and not handed_on and len({value.get_node().get_name() for value in values}) == 1:
        values[0].get_node().set_friendly_name(layer.name)
    return values


def given_shapes(given: Shapes | None, inputs: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The shapes that a caller gives, by input; a plain shape is that of the only input."""
    if given is not None and not isinstance(given, Mapping):
        if len(inputs) != 1:
            raise ModelError(f"has the inputs {', '.join(inputs)}; give input_shapes by name")
        given = {inputs[0]: given}
    unknown = [name for name in given or {} if name not in inputs]
    if unknown:
        raise ModelError(f"has no input {unknown[0]!r}; its inputs are {', '.join(inputs)}")
    return {name: tuple(int(size) for size in shape) for name, shape in (given or {}).items()}


def weights_beside(wanted: Path, pattern: str, advice: str = "") -> Path:
    """The file of a model's weights: the one that is called as the model is, else the only one that there is.

    pattern : regular expression of the names of files that may be it. advice : what else to do where there are several.
    """
    if wanted.is_file():
        return wanted
    try:
        found = sorted(path for path in wanted.parent.iterdir() if re.fullmatch(pattern, path.name))
    except OSError:
        found = []
    if len(found) > 1:
        raise ModelError(f"which of {listed([p.name for p in found])} are its weights? Call one {wanted.name}{advice}")
    if not found:
        raise ModelError(f"its weights are missing; put {wanted.name} beside it")
    _log.info("%s is not there, %s is taken", wanted, found[0].name)
    return found[0]


def fitted(array: Array, shape: Sequence[int], *, exact: bool = False) -> Array:
    """Weights in the shape that they must have; unless `exact`, the file may have written it otherwise."""
    if array.size != math.prod(shape) or (exact and array.shape != tuple(shape)):
        raise ModelError(f"has weights of the shape {array.shape}; expected {tuple(shape)}")
    return array.reshape(tuple(shape))


MOST_BYTES = 1 << 31
"""Of a file that is read as a whole: what protobuf allows a message, and more than a network of a camera has."""


def check_bytes(path: Path, most: int, what: str) -> None:
    """Refuse a file of more bytes than `most` before it is read."""
    size = path.stat().st_size
    if size > most:
        raise ModelError(f"{size} bytes are too many for {what}; at most {most} are read")


def read_bytes(path: Path, most: int, what: str) -> bytes:
    """A whole file of at most so many bytes."""
    check_bytes(path, most, what)
    return path.read_bytes()
