"""Names and sizes of a model's ports: the file's own names, and sizes that are all numbers.

saccade runs static shapes. An open batch becomes 1 by itself, and a picture input of open height and width takes the
size that the model's metadata states, else a usual one, and says so. So does one whose size only stood in for an open
one, as in CenterFace's file, which declares ten pictures of 32x32.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import openvino as ov

from saccade.errors import ConfigError, ModelError
from saccade.formats.core import reason

_log = logging.getLogger(__name__)

Shapes = Mapping[str, Sequence[int]] | Sequence[int]
"""Input shapes by input name. A plain sequence of numbers stands for the only input, or for the one that takes a
picture; two numbers are a picture's height and width."""

_CHANNELS = (3, 1, 4)
_USUAL = (640, 512, 416, 320, 300, 256, 224)
"""Sides that an open picture input is tried with, px: all are multiples of 32 but one, which old SSDs have."""

_PLACEHOLDER = 32
"""Side up to which the size of a picture stands for any size where all outputs are maps of places in it, px."""

_OUTPUT_NAMES = ["saccade", "outputs"]

_NO_NAME = re.compile(r"Result_\d+")

_ONE = re.compile(r"(?:(?P<name>.+)[=:])?\[?(?P<sizes>[1-9]\d{0,8}(?:[,x][1-9]\d{0,8})*)\]?")


def parse_shapes(texts: Sequence[str]) -> dict[str, Sequence[int]] | Sequence[int] | None:
    """Shapes as people write them: `1,3,640,640`, `640x640` or `images:1,3,640,640`; several by name.

    texts : each may hold several, with semicolons or spaces between them. Returns None where there are none.
    """
    found: dict[str, Sequence[int]] = {}
    parts = (part for text in texts for part in re.split(r"[;\s]+", text.strip()))
    for text in filter(None, parts):
        match = _ONE.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"input shape: got {text!r}; expected sizes such as 1,3,300,300, 640x640 or data=1,3,300,300"
            )
        name = match["name"] or ""
        if name in found or (found and "" in (name, *found)):
            raise ConfigError("input shape: give every input by name, once: data=1,3,300,300")
        found[name] = tuple(int(size) for size in re.split("[,x]", match["sizes"]))
    return found.get("", found) or None


def port_name(port: Any) -> str:
    """Name of an `ov` input or output: its tensor's name, else its node's.

    Of several names an output's is the one that its node was made for, else the first in the alphabet: never one that
    changes from run to run.
    """
    node = str(port.node.friendly_name)
    if not port.names:
        return node
    made_for = node.removesuffix("/sink_port_0")
    return made_for if made_for != node and made_for in port.names else str(min(port.names))


def declare_output_names(model: ov.Model, names: Sequence[str]) -> None:
    """Keep in the model what its file calls the outputs, in their order."""
    if len(names) == len(model.outputs):
        model.set_rt_info(json.dumps(list(names)), _OUTPUT_NAMES)


def output_names(model: ov.Model) -> list[str]:
    """Names of the outputs, as the file lists them where that is known.

    One without a name is called after the layer that makes it, not `Result_4711`, which changes from run to run.
    """
    own = [
        _producer(port) if all(_NO_NAME.fullmatch(n) for n in port.names) else port_name(port) for port in model.outputs
    ]
    if not model.has_rt_info(_OUTPUT_NAMES):
        return own
    try:
        declared = json.loads(str(model.get_rt_info(_OUTPUT_NAMES).value))
    except (ValueError, RecursionError):
        return own
    if not isinstance(declared, list) or len(declared) != len(own):
        return own
    return [
        next((name for name in (here, *declared) if name in port.names), name)
        for here, name, port in zip(declared, own, model.outputs, strict=True)
    ]


def _producer(port: Any) -> str:
    source = port.node.input_value(0)
    index = f".{source.index}" if source.node.get_output_size() > 1 else ""
    return str(source.node.friendly_name) + index


def make_static(
    model: ov.Model,
    name: str,
    input_shapes: Shapes | None = None,
    *,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
) -> ov.Model:
    """The model with all input shapes fixed; `model` itself is of no use afterwards.

    name : of the model, for messages. input_shapes : what the user says. size : (height, width) of a picture whose
    input leaves them open, px, as the metadata states it.
    batch : 1 makes a network that takes several pictures at a time take one, where its graph allows that.
    """
    if not model.inputs or not model.outputs:
        raise ModelError(f"{name} has no {'outputs' if model.inputs else 'inputs'}, so there is nothing to run")
    wanted = _shapes_by_input(model, name, input_shapes)
    shapes = {index: _with_batch(wanted.get(index, port.partial_shape)) for index, port in enumerate(model.inputs)}
    if batch == 1 and not wanted and _is_placeholder(model) and (larger := _of_usual_size(model, name, size)):
        return larger
    model, shapes = _with_picture_size(model, name, shapes, size)
    unknown = [f"{port_name(model.inputs[i])} {shape}" for i, shape in shapes.items() if shape.is_dynamic]
    if unknown:
        raise ModelError(f"{name} leaves input sizes open ({'; '.join(unknown)}); {advice(model)}")
    _reshape(model, name, shapes)
    return _one_picture(model, name) if batch == 1 and not wanted else model


def advice(model: ov.Model) -> str:
    """How to say what sizes the inputs have, on the command line and in code."""
    port = next((port for port in model.inputs if _is_picture(port.partial_shape)), model.inputs[0])
    name = port_name(port)
    example = _example(port.partial_shape)
    sizes = ",".join(map(str, example))
    return f"give them, all as numbers: --input-shape {name}:{sizes}, or input_shapes={{{name!r}: {example}}} in Python"


def _example(shape: ov.PartialShape) -> tuple[int, ...]:
    if shape.rank.is_dynamic:
        return (1, 3, 640, 640)
    filled = next(_picture_shapes(shape, (640, 640)), shape) if _is_picture(shape) else shape
    return tuple(d.get_length() if d.is_static else 1 for d in filled)


def _with_batch(shape: ov.PartialShape) -> ov.PartialShape:
    """The shape with an open first dimension as 1."""
    if shape.rank.is_static and len(shape) > 1 and shape[0].is_dynamic:
        shape = ov.PartialShape(shape)
        shape[0] = 1
    return shape


def _is_picture(shape: ov.PartialShape) -> bool:
    """Rank four, with channels, or with all dimensions open."""
    return shape.rank.is_static and len(shape) == 4 and bool(_channel_axes(shape))


def _channel_axes(shape: ov.PartialShape) -> list[int]:
    """Axes that the channels may have, the likeliest first: as in ONNX where all dimensions are open."""
    known = [axis for axis in (1, 3) if shape[axis].is_static and shape[axis].get_length() in _CHANNELS]
    return known[:1] or ([1, 3] if all(shape[axis].is_dynamic for axis in (1, 2, 3)) else [])


def _picture_shapes(shape: ov.PartialShape, size: tuple[int, int]) -> Iterator[ov.PartialShape]:
    """Ways to fill the open dimensions of a picture input, the likeliest first."""
    height, width = size
    for axis in _channel_axes(shape):
        for channels in _CHANNELS if shape[axis].is_dynamic else (shape[axis].get_length(),):
            usual = (1, channels, height, width) if axis == 1 else (1, height, width, channels)
            yield ov.PartialShape(
                [own.get_length() if own.is_static else other for own, other in zip(shape, usual, strict=True)]
            )


def _with_picture_size(
    model: ov.Model, name: str, shapes: dict[int, ov.PartialShape], size: tuple[int, int] | None
) -> tuple[ov.Model, dict[int, ov.PartialShape]]:
    """The model, and its shapes, with numbers for a picture's open height and width: the first that the graph takes."""
    open_ones = [index for index, shape in shapes.items() if shape.is_dynamic]
    if len(open_ones) != 1 or not _is_picture(shapes[open_ones[0]]):
        return model, shapes
    (index,) = open_ones
    usual = [(side, side) for side in _USUAL]
    for side, filled in ((s, f) for s in ([size] if size else []) + usual for f in _picture_shapes(shapes[index], s)):
        candidate = shapes | {index: filled}
        trial = model.clone()
        try:
            _reshape(trial, name, candidate)
        except ModelError:
            continue
        if not all(_still(a.partial_shape, b.partial_shape) for a, b in _pairs(model, trial)):
            continue  # OpenVINO has rewritten numbers of the graph to make it fit: what it computes is another thing
        _say_size(name, port_name(model.inputs[index]), shapes[index], filled, stated=side == size)
        return trial, candidate
    return model, shapes


def _is_placeholder(model: ov.Model) -> bool:
    """Whether the size of the only input, a picture, is one that was only needed to export the network: too small for
    any scene, while all outputs are maps of a few places.
    """
    if len(model.inputs) != 1 or not _is_picture(model.inputs[0].partial_shape):
        return False
    picture = model.inputs[0].partial_shape
    axes = _place_axes(picture)
    if any(picture[axis].is_dynamic or picture[axis].get_length() > _PLACEHOLDER for axis in axes):
        return False
    return all(
        shape.rank.is_static and len(shape) == 4
        and all(shape[axis].is_static for axis in (1, 2, 3))
        and all(1 < shape[axis].get_length() < picture[axis].get_length() for axis in axes)
        for shape in (port.partial_shape for port in model.outputs)
    )  # fmt: skip


def _place_axes(picture: ov.PartialShape) -> tuple[int, int]:
    """Axes of a picture's height and width."""
    return (2, 3) if _channel_axes(picture)[0] == 1 else (1, 2)


def _of_usual_size(model: ov.Model, name: str, size: tuple[int, int] | None) -> ov.Model | None:
    """The model for one picture of the size that its metadata states, else of a usual one; None where its graph takes
    no other than it declares.
    """
    own = model.inputs[0].partial_shape
    opened = ov.PartialShape([1, *(ov.Dimension() if axis in _place_axes(own) else own[axis] for axis in (1, 2, 3))])
    for side in [size] if size else [(side, side) for side in _USUAL]:
        filled = next(_picture_shapes(opened, side))
        trial = model.clone()
        try:
            _reshape(trial, name, {0: filled})
        except ModelError:
            continue
        if _maps_grow(model, trial):
            _log.warning(
                "%s declares pictures of %s, which show nothing of a scene: it takes %s; --input-shape %s "
                "(input_shapes= in Python) sets another", name, own, _as_sizes(filled), _as_sizes(filled),
            )  # fmt: skip
            return trial
    return None


def _maps_grow(small: ov.Model, large: ov.Model) -> bool:
    """Whether the maps of the larger one, of one picture, have as many more places as it has pixels, but for a rim."""
    axes = _place_axes(small.inputs[0].partial_shape)
    factor = {axis: large.inputs[0].shape[axis] / small.inputs[0].partial_shape[axis].get_length() for axis in axes}
    return all(
        after.shape[0] == 1
        and all(
            abs(after.shape[axis] - before.partial_shape[axis].get_length() * factor.get(axis, 1)) <= (axis in axes)
            for axis in (1, 2, 3)
        )
        for before, after in _pairs(small, large)
    )


def _pairs(one: ov.Model, other: ov.Model) -> Iterator[tuple[Any, Any]]:
    return zip(one.outputs, other.outputs, strict=True)


def _as_sizes(shape: ov.PartialShape) -> str:
    return ",".join(str(d.get_length()) for d in shape)


def _still(before: ov.PartialShape, after: ov.PartialShape) -> bool:
    """Whether what was known of an output's shape holds."""
    if before.rank.is_dynamic or after.rank.is_dynamic:
        return True
    return len(before) == len(after) and all(
        old.is_dynamic or (new.is_static and old == new) for old, new in zip(before, after, strict=True)
    )


def _say_size(name: str, port: str, own: ov.PartialShape, filled: ov.PartialShape, *, stated: bool) -> None:
    sizes = _as_sizes(filled)
    if stated:
        _log.info("%s leaves the size of its input %s open (%s): it takes %s, its metadata's", name, port, own, sizes)
        return
    _log.warning(
        "%s leaves the size of its input %s open (%s) and nothing says what it was made for: it takes %s; "
        "--input-shape %s:%s (input_shapes= in Python) sets another", name, port, own, sizes, port, sizes,
    )  # fmt: skip


def _reshape(model: ov.Model, name: str, shapes: Mapping[int, ov.PartialShape]) -> None:
    ports = model.inputs
    changed = {ports[index]: shape for index, shape in shapes.items() if ports[index].partial_shape != shape}
    if not changed:
        return
    try:
        model.reshape({ports[index]: shape for index, shape in shapes.items()})
    except RuntimeError as error:
        sizes = ", ".join(f"{port_name(port)} {shape}" for port, shape in changed.items())
        raise ModelError(f"{name} cannot take the input sizes {sizes}: {reason(error)}") from error


def _one_picture(model: ov.Model, name: str) -> ov.Model:
    """The model for one picture at a time, where its file fixes more.

    Refused where an output would not shrink with the batch: a number in the graph then deals pictures out again.
    """
    pictures = [port for port in model.inputs if _is_picture(port.partial_shape) and port.shape[0] > 1]
    if not pictures:
        return model
    count = pictures[0].shape[0]
    single = model.clone()
    shapes = {
        index: ov.PartialShape([1, *port.shape[1:]] if len(port.shape) and port.shape[0] == count else port.shape)
        for index, port in enumerate(model.inputs)
    }
    refusal = f"{name} takes {count} pictures at a time and cannot take one; export it again with a batch of 1"
    try:
        _reshape(single, name, shapes)
    except ModelError as error:
        raise ModelError(refusal) from error
    for before, after in _pairs(model, single):
        if before.partial_shape.is_static and (
            after.partial_shape.is_dynamic or _elements(after) * count != _elements(before)
        ):
            raise ModelError(refusal)
    _log.info("%s takes %d pictures at a time: one is given to it", name, count)
    return single


def _elements(port: Any) -> int:
    count = 1
    for extent in port.shape:
        count *= int(extent)
    return count


def _shapes_by_input(model: ov.Model, name: str, shapes: Shapes | None) -> dict[int, ov.PartialShape]:
    if not shapes:
        return {}
    ports = model.inputs
    if not isinstance(shapes, Mapping):
        pictures = [index for index, port in enumerate(ports) if _is_picture(port.partial_shape)]
        index = 0 if len(ports) == 1 else pictures[0] if len(pictures) == 1 else None
        if index is None:
            names = ", ".join(map(port_name, ports))
            raise ModelError(f"{name} has {len(ports)} inputs ({names}); {advice(model)}")
        return {index: _full(ports[index].partial_shape, shapes)}
    known = {alias: i for i, port in enumerate(ports) for alias in (*port.names, port.node.friendly_name)}
    unknown = [key for key in shapes if key not in known]
    if unknown:
        raise ModelError(f"{name} has no input {unknown[0]!r}; its inputs are {', '.join(map(port_name, ports))}")
    return {known[key]: _full(ports[known[key]].partial_shape, shape) for key, shape in shapes.items()}


def _full(own: ov.PartialShape, sizes: Sequence[int]) -> ov.PartialShape:
    """A shape from all its sizes, or from a picture's height and width alone."""
    if len(sizes) == 2 and _is_picture(own):
        (axis, *_) = _channel_axes(own)
        opened = ov.PartialShape([own[i] if i in (0, axis) else ov.Dimension() for i in range(4)])
        return next(_picture_shapes(_with_batch(opened), (int(sizes[0]), int(sizes[1]))))
    return ov.PartialShape([int(size) for size in sizes])
