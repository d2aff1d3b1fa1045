"""One small net for each layer type and dialect trap, written by `writer.Net`, with its inputs.

`recorded.npz` holds what Intel's original Inference Engine 2020.3 gave for them in f32 (see `record.py`); where a
case has an `oracle`, its expected numbers are computed in NumPy from the layer's published definition.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import oracles as o
from .writer import Net, Port

Feeds = dict[str, np.ndarray]
Oracle = Callable[[Feeds], Feeds]


@dataclass
class Case:
    name: str
    make: Callable[[Net, Maker], Oracle | None]
    version: int
    half: bool
    tolerance: float = 1e-5
    recorded: bool = True

    def build(self) -> tuple[Net, Feeds, Oracle | None]:
        net = Net(version=self.version, half=self.half)
        maker = Maker(np.random.default_rng(zlib.crc32(self.name.encode())))
        oracle = self.make(net, maker)
        return net, maker.feeds, oracle


@dataclass
class Maker:
    """Draws values, and keeps what each input gets."""

    rng: np.random.Generator
    feeds: Feeds = field(default_factory=dict)

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def half(self, *shape: int) -> np.ndarray:
        """Values that float16 holds exactly, for weights of half-precision files."""
        return self.normal(*shape).astype(np.float16).astype(np.float32)

    def feed(self, net: Net, values: np.ndarray, precision: str = "") -> Port:
        name = f"in{len(net.layers)}"
        self.feeds[name] = values
        return net.input(values.shape, name, precision)


CASES: dict[str, Case] = {}


def case(
    name: str, *, version: int = 3, half: bool = False, tolerance: float = 1e-5, recorded: bool = True
) -> Callable[[Any], Any]:
    def register(make: Any) -> Any:
        CASES[name] = Case(name, make, version, half, tolerance, recorded)
        return make

    return register


def every_version(name: str, *versions: int) -> Callable[[Any], Any]:
    def register(make: Any) -> Any:
        for version in versions:
            case(f"{name}_v{version}", version=version)(make)
        return make

    return register


# ---------------------------------------------------------------------------------------------- layers with weights


@every_version("convolution", 2, 3, 4, 5, 6, 7)
def _(net: Net, m: Maker) -> Oracle:
    w, b = m.half(6, 2, 3, 3), m.half(6)
    x = m.feed(net, m.normal(1, 4, 9, 8))
    shape = {"kernel": (3, 3), "strides": (2, 1), "pads_begin": (1, 0), "pads_end": (1, 0), "dilations": (1, 2)}
    net.layer("Convolution", [x], [(1, 6, 5, 4)], {**shape, "output": 6, "group": 2}, {"weights": w, "biases": b})
    return lambda f: {
        "L": o.convolution(f["in0"], w, b, strides=(2, 1), begin=(1, 0), out=(5, 4), dilations=(1, 2), groups=2)
    }


@case("convolution_half", version=2, half=True)
def _(net: Net, m: Maker) -> Oracle:
    w = m.half(3, 2, 1, 1)
    x = m.feed(net, m.normal(1, 2, 5, 5))
    net.layer("Convolution", [x], [(1, 3, 5, 5)], {"kernel": (1, 1), "output": 3, "group": 1}, {"weights": w})
    return lambda f: {"L": np.einsum("oi,nihw->nohw", w[:, :, 0, 0], f["in0"])}


@case("convolution_same_lower", version=5)
def _(net: Net, m: Maker) -> Oracle:
    w = m.half(2, 2, 4, 4)
    x = m.feed(net, m.normal(1, 2, 7, 6))
    shape = {"kernel": (4, 4), "strides": (2, 2), "pads_begin": (0, 0), "pads_end": (0, 0), "auto_pad": "same_lower"}
    net.layer("Convolution", [x], [(1, 2, 4, 3)], {**shape, "output": 2, "dilations": (1, 1)}, {"weights": w})
    return lambda f: {"L": o.convolution(f["in0"], w, None, strides=(2, 2), begin=(2, 1), out=(4, 3))}


@case("convolution_3d", version=5)
def _(net: Net, m: Maker) -> Oracle:
    w = m.half(3, 2, 2, 3, 3)
    x = m.feed(net, m.normal(1, 2, 4, 6, 5))
    shape = {"kernel": (2, 3, 3), "strides": (1, 2, 1), "pads_begin": (0, 1, 1), "pads_end": (0, 1, 1)}
    net.layer("Convolution", [x], [(1, 3, 3, 3, 5)], {**shape, "output": 3, "dilations": (1, 1, 1)}, {"weights": w})
    return lambda f: {"L": o.convolution(f["in0"], w, None, strides=(1, 2, 1), begin=(0, 1, 1), out=(3, 3, 5))}


@case("deconvolution")
def _(net: Net, m: Maker) -> Oracle:
    w, b = m.half(4, 3, 4, 4), m.half(3)
    x = m.feed(net, m.normal(1, 4, 5, 4))
    shape = {"kernel": (4, 4), "strides": (2, 2), "pads_begin": (1, 1), "pads_end": (1, 1), "dilations": (1, 1)}
    net.layer("Deconvolution", [x], [(1, 3, 10, 8)], {**shape, "output": 3, "group": 1}, {"weights": w, "biases": b})
    return lambda f: {"L": o.deconvolution(f["in0"], w, b, strides=(2, 2), begin=(1, 1), out=(10, 8))}


@case("deconvolution_groups")
def _(net: Net, m: Maker) -> Oracle:
    w = m.half(4, 1, 3, 3)
    x = m.feed(net, m.normal(1, 4, 5, 4))
    shape = {"kernel": (3, 3), "strides": (2, 2), "pads_begin": (1, 1), "pads_end": (1, 1), "dilations": (1, 1)}
    net.layer("Deconvolution", [x], [(1, 4, 9, 7)], {**shape, "output": 4, "group": 4}, {"weights": w})
    return lambda f: {"L": o.deconvolution(f["in0"], w, None, strides=(2, 2), begin=(1, 1), out=(9, 7), groups=4)}


@every_version("fully_connected", 2, 3, 7)
def _(net: Net, m: Maker) -> Oracle:
    w, b = m.half(5, 24), m.half(5)
    x = m.feed(net, m.normal(2, 2, 3, 4))
    net.layer("FullyConnected", [x], [(2, 5)], {"out-size": 5}, {"weights": w, "biases": b})
    return lambda f: {"L": f["in0"].reshape(2, -1) @ w.T + b}


@case("inner_product", version=2)
def _(net: Net, m: Maker) -> Oracle:
    w = m.half(5, 6)
    x = m.feed(net, m.normal(2, 6))
    net.layer("InnerProduct", [x], [(2, 5)], {"out-size": 5}, {"weights": w}, name="fc")
    return lambda f: {"fc": f["in0"] @ w.T}


@every_version("scale_shift", 2, 3, 7)
def _(net: Net, m: Maker) -> Oracle:
    w, b = m.half(3), m.half(3)
    x = m.feed(net, m.normal(1, 3, 2, 2))
    net.layer("ScaleShift", [x], [(1, 3, 2, 2)], {}, {"weights": w, "biases": b})
    return lambda f: {"L": f["in0"] * w[:, None, None] + b[:, None, None]}


@case("scale_shift_2d_shift_only")
def _(net: Net, m: Maker) -> Oracle:
    b = m.half(4)
    x = m.feed(net, m.normal(2, 4))
    net.layer("ScaleShift", [x], [(2, 4)], {}, {"weights": np.ones(4, np.float32), "biases": b})
    return lambda f: {"L": f["in0"] + b}


@every_version("batch_normalization", 2, 3)
def _(net: Net, m: Maker) -> Oracle:
    variance, mean = m.uniform(3, low=0.5, high=2), m.normal(3)
    x = m.feed(net, m.normal(1, 3, 2, 2))
    net.layer("BatchNormalization", [x], [(1, 3, 2, 2)], {"epsilon": 0.001}, {"weights": variance, "biases": mean})
    return lambda f: {"L": (f["in0"] - mean[:, None, None]) / np.sqrt(variance + 0.001)[:, None, None]}


@case("prelu")
def _(net: Net, m: Maker) -> Oracle:
    w = m.half(3)
    x = m.feed(net, m.normal(1, 3, 2, 2))
    net.layer("PReLU", [x], [(1, 3, 2, 2)], {"channel_shared": 0}, {"weights": w})
    return lambda f: {"L": np.where(f["in0"] > 0, f["in0"], f["in0"] * w[:, None, None])}


@case("prelu_shared")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 3, 2, 2))
    net.layer("PReLU", [x], [(1, 3, 2, 2)], {"channel_shared": 1}, {"weights": np.array([0.25], np.float32)})
    return lambda f: {"L": np.where(f["in0"] > 0, f["in0"], f["in0"] * 0.25)}


def _normalize(across: bool, shared: bool) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        w = m.uniform(1 if shared else 3, low=0.5, high=2)
        x = m.feed(net, m.normal(2, 3, 4, 2))
        attributes = {"across_spatial": across, "channel_shared": shared, "eps": "1e-10"}
        net.layer("Normalize", [x], [(2, 3, 4, 2)], attributes, {"weights": w})
        axes = (1, 2, 3) if across else (1,)
        return lambda f: {
            "L": f["in0"] / np.sqrt((f["in0"] ** 2).sum(axes, keepdims=True) + 1e-10) * w[None, :, None, None]
        }

    return make


for _across in (False, True):
    for _shared in (False, True):
        case(f"normalize_{'all' if _across else 'channels'}{'_shared' if _shared else ''}")(
            _normalize(_across, _shared)
        )


@case("const_scalar", version=7, recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 3))
    factor = net.const(np.array([2.5], np.float32))
    net.layers[-1] = net.layers[-1].replace("<dim>1</dim>", "")
    net.layer("Eltwise", [x, Port(factor.layer, factor.port, ())], [(2, 3)], {"operation": "mul"})
    return lambda f: {"L": f["in0"] * 2.5}


@case("const", version=5)
def _(net: Net, m: Maker) -> Oracle:
    values = m.half(2, 3)
    x = m.feed(net, m.normal(2, 3))
    net.layer("Eltwise", [x, net.const(values)], [(2, 3)], {"operation": "mul"})
    return lambda f: {"L": f["in0"] * values}


# --------------------------------------------------------------------------------------------------------- pooling


def _pool(method: str, exclude: str, kernel: int, stride: int, begin: int, size: int, out: int, rounding: str) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        x = m.feed(net, m.normal(1, 2, size, size + 1))
        attributes = {
            "pool-method": method, "exclude-pad": exclude, "kernel": (kernel, kernel), "strides": (stride, stride),
            "pads_begin": (begin, begin), "pads_end": (begin, begin),
            ("rounding-type" if net.version == 2 else "rounding_type"): rounding,
        }  # fmt: skip
        wide = (size + 1 + 2 * begin - kernel) // stride + 1
        if rounding == "ceil":
            wide = -(-(size + 1 + 2 * begin - kernel) // stride) + 1
        net.layer("Pooling", [x], [(1, 2, out, wide)], attributes)
        return lambda f: {
            "L": o.pooling(f["in0"], method, kernel, stride, begin, (out, wide), exclude == "true" or not begin)
        }

    return make


for _name, _arguments in {
    "max": ("max", "true", 3, 2, 1, 8, 4, "floor"),
    "max_ceil": ("max", "true", 3, 2, 0, 8, 4, "ceil"),
    "max_ceil_but_floor": ("max", "true", 3, 2, 0, 9, 4, "ceil"),
    "max_remainder": ("max", "true", 2, 3, 0, 9, 3, "floor"),
    "avg": ("avg", "true", 3, 2, 1, 8, 4, "floor"),
    "avg_include": ("avg", "false", 3, 2, 1, 9, 5, "floor"),
    "avg_include_overhang": ("avg", "false", 3, 2, 1, 8, 5, "ceil"),
    "avg_include_no_begin": ("avg", "false", 3, 2, 0, 8, 4, "ceil"),
    "avg_exclude_overhang": ("avg", "true", 3, 2, 1, 8, 5, "ceil"),
}.items():
    case(f"pooling_{_name}")(_pool(*_arguments))
    case(f"pooling_{_name}_v2", version=2)(_pool(*_arguments))


# ---------------------------------------------------------------------------------------------------- element-wise


def _activation(type_: str, function: Callable[[np.ndarray], np.ndarray], low: float, high: float, **extra: Any) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        x = m.feed(net, m.uniform(1, 2, 3, 4, low=low, high=high))
        net.layer(type_, [x], [(1, 2, 3, 4)], extra)
        return lambda f: {"L": function(f["in0"].astype(np.float64))}

    return make


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


for _name, (_function, _low, _high, _extra) in {
    "ReLU": (lambda x: np.maximum(x, 0), -2, 2, {}),
    "ELU": (lambda x: np.where(x > 0, x, 0.5 * np.expm1(x)), -2, 2, {"alpha": 0.5}),
    "Clamp": (lambda x: np.clip(x, -0.5, 0.75), -2, 2, {"min": -0.5, "max": 0.75}),
    "ReLU6": (lambda x: np.clip(x, 0, 6), -2, 9, {}),
    "Sigmoid": (_sigmoid, -4, 4, {}),
    "TanH": (np.tanh, -4, 4, {}),
    "Exp": (np.exp, -2, 2, {}),
    "Abs": (np.abs, -2, 2, {}),
    "Log": (np.log, 0.1, 5, {}),
    "Neg": (np.negative, -2, 2, {}),
    "Floor": (np.floor, -3, 3, {}),
    "Ceil": (np.ceil, -3, 3, {}),
    "Sign": (np.sign, -2, 2, {}),
    "Sin": (np.sin, -2, 2, {}),
    "Cos": (np.cos, -2, 2, {}),
    "Tan": (np.tan, -1, 1, {}),
    "Asin": (np.arcsin, -0.9, 0.9, {}),
    "Acos": (np.arccos, -0.9, 0.9, {}),
    "Atan": (np.arctan, -2, 2, {}),
    "Sinh": (np.sinh, -2, 2, {}),
    "Cosh": (np.cosh, -2, 2, {}),
    "Asinh": (np.arcsinh, -2, 2, {}),
    "Acosh": (np.arccosh, 1.1, 3, {}),
    "Atanh": (np.arctanh, -0.9, 0.9, {}),
    "Erf": (o.erf, -2, 2, {}),
    "Softplus": (lambda x: np.log1p(np.exp(x)), -2, 2, {}),
    "Softsign": (lambda x: x / (1 + np.abs(x)), -2, 2, {}),
    "Reciprocal": (lambda x: 1 / x, 0.3, 3, {}),
    "HardSigmoid": (lambda x: np.clip(0.3 * x + 0.4, 0, 1), -4, 4, {"alpha": 0.3, "beta": 0.4}),
    "Selu": (lambda x: 1.1 * np.where(x > 0, x, 1.5 * np.expm1(x)), -2, 2, {"alpha": 1.5, "gamma": 1.1}),
    "Logistic": (_sigmoid, -4, 4, {}),
    "Sqrt": (np.sqrt, 0.1, 3, {}),
}.items():
    _unknown = {"Logistic", "Sqrt"}  # types of other engines of the family, which the CPU engine had not
    _loose = 1e-4 if _name in ("Erf", "Softplus") else 1e-5
    case(f"activation_{_name.lower()}", version=5, recorded=_name not in _unknown, tolerance=_loose)(
        _activation(_name, _function, _low, _high, **_extra)
    )

for _type, _function in {
    "relu": lambda x: np.where(x > 0, x, 0.1 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "clamp": lambda x: np.clip(x, -1, 1),
}.items():
    _extra = {"relu": {"negative_slope": 0.1}, "clamp": {"min": -1, "max": 1}, "elu": {"alpha": 1}}.get(_type, {})
    case(f"activation_layer_{_type}", version=2)(_activation("Activation", _function, -2, 2, type=_type, **_extra))


@case("relu_leaky")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 2, 3, 4))
    net.layer("relu", [x], [(1, 2, 3, 4)], {"negative_slope": 0.1})
    return lambda f: {"L": np.where(f["in0"] > 0, f["in0"], 0.1 * f["in0"])}


@case("activation_not", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, (m.normal(1, 2, 3) > 0).astype(np.float32))
    net.layer("Not", [x], [(1, 2, 3)])
    return lambda f: {"L": 1 - f["in0"]}


@case("power")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.uniform(1, 2, 3, 4, low=0.1, high=2))
    net.layer("Power", [x], [(1, 2, 3, 4)], {"power": 1.5, "scale": 2, "shift": 0.5})
    return lambda f: {"L": (2 * f["in0"].astype(np.float64) + 0.5) ** 1.5}


def _eltwise(
    operation: str, function: Callable[..., np.ndarray], shapes: Any, low: float, extra: dict[str, Any]
) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        xs = [m.feed(net, m.uniform(*shape, low=low, high=2)) for shape in shapes]
        out = np.broadcast_shapes(*shapes)
        net.layer("Eltwise", xs, [out], {"operation": operation, **extra})
        return lambda f: {"L": function(*f.values())}

    return make


_SAME = [(1, 2, 3, 4)] * 2
for _name, (_operation, _function, _shapes, _low, _extra, _version) in {
    "empty": ("", lambda a, b, c: a + b + c, [(1, 2, 3, 4)] * 3, -2, {"coeff": ""}, 2),
    "sum": ("sum", np.add, _SAME, -2, {}, 2),
    "coeff": ("sum", lambda a, b: 0.5 * a - 2 * b, _SAME, -2, {"coeff": "0.5,-2"}, 3),
    "mul": ("mul", np.multiply, _SAME, -2, {}, 3),
    "prod": ("prod", np.multiply, _SAME, -2, {}, 3),
    "max": ("max", np.maximum, _SAME, -2, {}, 3),
    "sub": ("sub", np.subtract, _SAME, -2, {}, 5),
    "div": ("div", np.divide, _SAME, 0.2, {}, 5),
    "min": ("min", np.minimum, _SAME, -2, {}, 5),
    "squared_diff": ("squared_diff", lambda a, b: (a - b) ** 2, _SAME, -2, {}, 5),
    "pow": ("pow", np.power, _SAME, 0.2, {}, 5),
    "broadcast": ("sum", np.add, [(2, 3, 4, 5), (1, 3, 1, 1)], -2, {}, 6),
    "floor_mod": ("floor_mod", lambda a, b: a - np.floor(a / b) * b, _SAME, 0.2, {}, 6),
    "equal": ("equal", lambda a, b: a == b, _SAME, -2, {}, 6),
    "not_equal": ("not_equal", lambda a, b: a != b, _SAME, -2, {}, 6),
    "less": ("less", np.less, _SAME, -2, {}, 6),
    "less_equal": ("less_equal", np.less_equal, _SAME, -2, {}, 6),
    "greater": ("greater", np.greater, _SAME, -2, {}, 6),
    "greater_equal": ("greater_equal", np.greater_equal, _SAME, -2, {}, 6),
    "logical_and": ("logical_and", lambda a, b: (a != 0) & (b != 0), _SAME, -2, {}, 6),
    "logical_or": ("logical_or", lambda a, b: (a != 0) | (b != 0), _SAME, -2, {}, 6),
    "logical_xor": ("logical_xor", lambda a, b: (a != 0) ^ (b != 0), _SAME, -2, {}, 6),
}.items():
    case(f"eltwise_{_name}", version=_version, recorded=_name != "floor_mod")(
        _eltwise(_operation, _function, _shapes, _low, _extra)
    )


@case("softmax")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 3, 4, 5))
    net.layer("SoftMax", [x], [(1, 3, 4, 5)], {"axis": 2})
    return lambda f: {"L": o.softmax(f["in0"], 2)}


@case("log_softmax", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(3, 4))
    net.layer("LogSoftmax", [x], [(3, 4)], {"axis": 1})
    return lambda f: {"L": np.log(o.softmax(f["in0"].astype(np.float64), 1))}


@case("norm_across")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 7, 3, 3))
    net.layer("Norm", [x], [(1, 7, 3, 3)], {"alpha": 0.5, "beta": 0.75, "k": 2, "local-size": 5, "region": "across"})
    return lambda f: {"L": o.lrn(f["in0"], 5, 0.5, 0.75, 2.0, across=True)}


@case("norm_same", version=5)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 3, 6, 5))
    net.layer("LRN", [x], [(1, 3, 6, 5)], {"alpha": 0.5, "beta": 0.75, "k": 1, "local-size": 3, "region": "same"})
    return lambda f: {"L": o.lrn(f["in0"], 3, 0.5, 0.75, 1.0, across=False)}


def _mvn(across: int, variance: int) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        x = m.feed(net, m.normal(2, 3, 4, 5))
        attributes = {"across_channels": across, "normalize_variance": variance, "eps": "1e-6"}
        net.layer("MVN", [x], [(2, 3, 4, 5)], attributes)
        axes = (1, 2, 3) if across else (2, 3)

        def oracle(f: Feeds) -> Feeds:
            y = f["in0"] - f["in0"].mean(axes, keepdims=True)
            return {"L": y / np.sqrt((y**2).mean(axes, keepdims=True) + 1e-6) if variance else y}

        return oracle

    return make


for _across in (0, 1):
    case(f"mvn_{_across}1")(_mvn(_across, 1))
case("mvn_00")(_mvn(0, 0))


@case("grn")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 3, 2, 2))
    net.layer("GRN", [x], [(1, 3, 2, 2)], {"bias": 0.5})
    return lambda f: {"L": f["in0"] / np.sqrt((f["in0"] ** 2).sum(1, keepdims=True) + 0.5)}


@case("gemm", version=4)
def _(net: Net, m: Maker) -> Oracle:
    a, b, c = m.feed(net, m.normal(2, 3, 4, 5)), m.feed(net, m.normal(2, 3, 6, 4)), m.feed(net, m.normal(2, 3, 5, 6))
    attributes = {"transpose_a": True, "transpose_b": True, "alpha": 0.5, "beta": 2}
    net.layer("Gemm", [a, b, c], [(2, 3, 5, 6)], attributes)
    return lambda f: {"L": 0.5 * f["in0"].swapaxes(2, 3) @ f["in1"].swapaxes(2, 3) + 2 * f["in2"]}


# ------------------------------------------------------------------------------------------------------ shape moves


@case("reshape", version=2)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 24))
    net.layer("Reshape", [x], [(2, 6, 4)], {"dim": "0,-1,4", "axis": 0, "num_axes": -1})
    return lambda f: {"L": f["in0"].reshape(2, 6, 4)}


@case("reshape_input", version=5)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 24))
    net.layer("Reshape", [x, net.const(np.array([2, -1, 4]))], [(2, 6, 4)], {})
    return lambda f: {"L": f["in0"].reshape(2, 6, 4)}


@case("flatten")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 3, 4, 5))
    net.layer("Flatten", [x], [(2, 60)], {"axis": 1, "end_axis": -1})
    return lambda f: {"L": f["in0"].reshape(2, 60)}


@case("squeeze", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 1, 3))
    net.layer("Squeeze", [x, net.const(np.array([1]))], [(2, 3)], {})
    return lambda f: {"L": f["in0"].reshape(2, 3)}


@case("unsqueeze", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 3))
    net.layer("Unsqueeze", [x, net.const(np.array([0, 3]))], [(1, 2, 3, 1)], {})
    return lambda f: {"L": f["in0"].reshape(1, 2, 3, 1)}


@case("permute")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 3, 4, 5))
    net.layer("Permute", [x], [(2, 4, 5, 3)], {"order": "0,2,3,1"})
    return lambda f: {"L": f["in0"].transpose(0, 2, 3, 1)}


@case("concat")
def _(net: Net, m: Maker) -> Oracle:
    xs = [m.feed(net, m.normal(1, n, 2, 2)) for n in (1, 3, 2)]
    net.layer("Concat", xs, [(1, 6, 2, 2)], {"axis": 1})
    return lambda f: {"L": np.concatenate(list(f.values()), 1)}


@case("split", version=2)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 6, 2, 2))
    net.layer("Split", [x], [(1, 1, 2, 2), (1, 3, 2, 2), (1, 2, 2, 2)], {"axis": 1})
    return lambda f: {"L.0": f["in0"][:, :1], "L.1": f["in0"][:, 1:4], "L.2": f["in0"][:, 4:]}


@case("slice_partly_used")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 6, 2, 2))
    parts = net.layer("Slice", [x], [(1, 2, 2, 2), (1, 4, 2, 2)], {"axis": 1}, name="cut")
    net.layer("ReLU", [parts[1]], [(1, 4, 2, 2)], {}, name="act")
    return lambda f: {"cut.0": f["in0"][:, :2], "act": np.maximum(f["in0"][:, 2:], 0)}


@case("tile")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 2, 3))
    net.layer("Tile", [x], [(1, 6, 3)], {"axis": 1, "tiles": 3})
    return lambda f: {"L": np.tile(f["in0"], (1, 3, 1))}


@case("crop_like")
def _(net: Net, m: Maker) -> Oracle:
    x, like = m.feed(net, m.normal(1, 3, 8, 9)), m.feed(net, m.normal(1, 1, 4, 5))
    net.layer("Crop", [x, like], [(1, 3, 4, 5)], {"axis": "2,3", "offset": "1,2"})
    return lambda f: {"L": f["in0"][:, :, 1:5, 2:7]}


@case("crop_dims")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 3, 8, 9))
    net.layer("Crop", [x], [(1, 2, 4, 9)], {"axis": "1,2", "offset": "1,2", "dim": "2,4"})
    return lambda f: {"L": f["in0"][:, 1:3, 2:6]}


@case("crop_begin_end")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 3, 8, 9))
    net.layer("Crop", [x], [(1, 3, 5, 6)], {"axis": "2,3", "crop_begin": "1,2", "crop_end": "2,1"})
    return lambda f: {"L": f["in0"][:, :, 1:6, 2:8]}


@case("crop_rows", version=2)
def _(net: Net, m: Maker) -> Oracle:
    x, like = m.feed(net, m.normal(1, 3, 8, 9)), m.feed(net, m.normal(1, 3, 4, 5))
    rows = '<crop-data><crop axis="2" offset="1"/><crop axis="3" offset="2"/></crop-data>'
    net.layer("Crop", [x, like], [(1, 3, 4, 5)], extra=rows)
    return lambda f: {"L": f["in0"][:, :, 1:5, 2:7]}


def _pad(mode: str) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        x = m.feed(net, m.normal(1, 3, 4, 5))
        attributes = {"pads_begin": "0,1,2,1", "pads_end": "0,0,1,3", "pad_mode": mode, "pad_value": 1.5}
        net.layer("Pad", [x], [(1, 4, 7, 9)], attributes)
        extra = {"constant_values": 1.5} if mode == "constant" else {}
        return lambda f: {"L": np.pad(f["in0"], ((0, 0), (1, 0), (2, 1), (1, 3)), mode, **extra)}

    return make


for _mode in ("constant", "edge", "reflect", "symmetric"):
    case(f"pad_{_mode}", version=5)(_pad(_mode))


@case("shape_of", version=6, recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 3, 4))
    net.layer("ShapeOf", [x], [(3,)], precision="I32")
    return lambda f: {"L": np.array([2, 3, 4])}


@case("strided_slice", version=5)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(4, 5, 6))
    consts = [net.const(np.array(v)) for v in ([1, 1, 0], [3, 4, 6], [1, 1, 3])]
    attributes = {"begin_mask": "1,0,1", "end_mask": "0,1,1", "new_axis_mask": "0,0,0", "shrink_axis_mask": "0,0,0"}
    net.layer("StridedSlice", [x, *consts], [(3, 4, 2)], {**attributes, "ellipsis_mask": "0,0,0"})
    return lambda f: {"L": f["in0"][1:, :4, 0:6:3]}


@case("strided_slice_shrink", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(4, 5, 6))
    consts = [net.const(np.array(v)) for v in ([0, 2, 0], [4, 3, 6], [1, 1, 1])]
    attributes = {"begin_mask": "0,1,0", "end_mask": "0,1,0", "new_axis_mask": "0,0,0", "shrink_axis_mask": "0,1,0"}
    net.layer("StridedSlice", [x, *consts], [(4, 6)], {**attributes, "ellipsis_mask": "0,0,0"})
    return lambda f: {"L": f["in0"][:, 2]}


@case("copy", version=2, recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 2, 3, 4))
    net.layer("Copy", [x], [(1, 2, 3, 4)])
    return lambda f: {"L": f["in0"]}


@case("dropout", version=2, recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 2, 3, 4))
    net.layer("Dropout", [x], [(1, 2, 3, 4)])
    return lambda f: {"L": f["in0"]}


@case("convert", version=6, recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.uniform(2, 3, low=0.1, high=5))
    y = net.layer("Convert", [x], [(2, 3)], {"precision": "I32"}, name="whole")
    net.layer("Convert", y, [(2, 3)], {"precision": "FP32"})
    return lambda f: {"L": np.trunc(f["in0"])}


@case("shuffle_channels", version=5)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 6, 2, 2))
    net.layer("ShuffleChannels", [x], [(1, 6, 2, 2)], {"axis": 1, "group": 3})
    return lambda f: {"L": f["in0"][:, [0, 2, 4, 1, 3, 5]]}


def _depth_to_space(batch: int, channels: int, block: int, height: int, width: int) -> Any:
    def make(net: Net, m: Maker) -> Oracle | None:
        x = m.feed(net, m.normal(batch, channels * block**2, height, width))
        shape = (batch, channels, height * block, width * block)
        net.layer("DepthToSpace", [x], [shape], {"block_size": block})
        if channels > 1:
            return None  # the engine's order of memory, which no definition has: recorded only
        return lambda f: {
            "L": f["in0"].reshape(batch, block, block, height, width).transpose(0, 3, 1, 4, 2).reshape(shape)
        }

    return make


case("depth_to_space_one", version=5)(_depth_to_space(2, 1, 2, 3, 2))
case("depth_to_space_more", version=5)(_depth_to_space(2, 3, 3, 2, 4))


@case("space_to_depth", version=5)
def _(net: Net, m: Maker) -> None:
    x = m.feed(net, m.normal(2, 3, 4, 6))
    net.layer("SpaceToDepth", [x], [(2, 12, 2, 3)], {"block_size": 2})


# --------------------------------------------------------------------------------------------------------- resizing


def _interp(attributes: dict[str, Any], size: tuple[int, int], out: tuple[int, int]) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        x = m.feed(net, m.normal(1, 3, *size))
        net.layer("Interp", [x], [(1, 3, *out)], {"pad_beg": 0, "pad_end": 0, **attributes})
        begin, end = (int(attributes.get(k, 0)) for k in ("pad_beg", "pad_end"))

        def oracle(f: Feeds) -> Feeds:
            image = f["in0"]
            image = image[:, :, -min(0, begin) :, -min(0, begin) :]
            if end < 0:
                image = image[:, :, :end, :end]
            image = np.pad(image, ((0, 0), (0, 0), *[(max(0, begin), max(0, end))] * 2))
            return {"L": o.interp(image, out, attributes.get("align_corners", 1) in (1, "1"))}

        return oracle

    return make


case("interp_factor")(_interp({"align_corners": 1, "factor": 2}, (5, 6), (9, 11)))
case("interp_size")(_interp({"align_corners": 1, "height": 9, "width": 7}, (5, 6), (9, 7)))
case("interp_asymmetric", version=5)(_interp({"align_corners": 0, "height": 10, "width": 9}, (5, 6), (10, 9)))
case("interp_shrink")(_interp({"align_corners": 1, "shrink_factor": 2}, (9, 7), (5, 4)))
case("interp_cropped")(_interp({"align_corners": 1, "pad_end": -1, "height": 8, "width": 9}, (5, 6), (8, 9)))
case("interp_padded", recorded=False)(
    _interp({"align_corners": 1, "pad_end": 1, "height": 8, "width": 9}, (5, 6), (8, 9))
)


def _resample(kind: str, antialias: int, size: tuple[int, int], out: tuple[int, int], **extra: Any) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        x = m.feed(net, m.normal(1, 2, *size))
        attributes = {"type": f"caffe.ResampleParameter.{kind}", "antialias": antialias, **extra}
        net.layer("Resample", [x], [(1, 2, *out)], attributes)
        if kind == "NEAREST":
            return lambda f: {"L": o.nearest(f["in0"], out)}
        return lambda f: {"L": o.triangle(f["in0"], out, bool(antialias))}

    return make


case("resample_nearest_up")(_resample("NEAREST", 0, (5, 6), (10, 12), factor=2))
case("resample_nearest_down")(_resample("NEAREST", 0, (8, 12), (4, 6), factor=0.5))
case("resample_nearest_odd")(_resample("NEAREST", 0, (5, 6), (7, 9), factor=1.5))
case("resample_linear_up")(_resample("LINEAR", 0, (5, 6), (10, 12), factor=2))
case("resample_linear_up_antialias")(_resample("LINEAR", 1, (5, 6), (10, 12), factor=2))
case("resample_linear_down")(_resample("LINEAR", 0, (8, 12), (4, 6), factor=0.5))
case("resample_linear_down_antialias")(_resample("LINEAR", 1, (8, 12), (4, 6), factor=0.5))
case("resample_linear_factors_differ")(_resample("LINEAR", 1, (8, 12), (4, 9), factor=0.5))
case("resample_linear_odd")(_resample("LINEAR", 1, (7, 7), (3, 3), factor=0.5))


@case("resample_input", version=5)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 2, 3, 4))
    attributes = {"type": "caffe.ResampleParameter.NEAREST", "antialias": 0, "factor": 2}
    net.layer("Resample", [x, net.const(np.array([1, 2, 6, 8]))], [(1, 2, 6, 8)], attributes)
    return lambda f: {"L": o.nearest(f["in0"], (6, 8))}


# ----------------------------------------------------------------------------------------------- choosing, counting


@case("argmax_axis")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 5, 3, 4))
    net.layer("ArgMax", [x], [(1, 1, 3, 4)], {"axis": 1, "out_max_val": 0, "top_k": 1})
    return lambda f: {"L": f["in0"].argmax(1)[:, None]}


@case("argmax_values")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(1, 5, 3, 4))
    net.layer("ArgMax", [x], [(1, 2, 3, 4)], {"axis": 1, "out_max_val": 1, "top_k": 2})
    return lambda f: {"L": -np.sort(-f["in0"], 1)[:, :2]}


@case("argmax_flat")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 5, 3, 4))
    net.layer("ArgMax", [x], [(2, 1, 3)], {"out_max_val": 0, "top_k": 3})
    return lambda f: {"L": np.argsort(-f["in0"].reshape(2, -1), 1)[:, None, :3]}


@case("argmax_flat_values")
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 5, 3, 4))
    net.layer("ArgMax", [x], [(2, 2, 3)], {"out_max_val": 1, "top_k": 3})

    def oracle(f: Feeds) -> Feeds:
        order = np.argsort(-f["in0"].reshape(2, -1), 1)[:, :3]
        return {"L": np.stack([order, np.take_along_axis(f["in0"].reshape(2, -1), order, 1)], 1)}

    return oracle


@case("top_k", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 6, 3))
    net.layer("TopK", [x, net.const(np.array([2]))], [(2, 2, 3)] * 2, {"axis": 1, "mode": "max", "sort": "value"})
    return lambda f: {"L.0": -np.sort(-f["in0"], 1)[:, :2], "L.1": np.argsort(-f["in0"], 1)[:, :2]}


@case("top_k_min_by_index", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(2, 6))
    net.layer("TopK", [x, net.const(np.array([3]))], [(2, 3)] * 2, {"axis": 1, "mode": "min", "sort": "index"})

    def oracle(f: Feeds) -> Feeds:
        order = np.sort(np.argsort(f["in0"], 1)[:, :3], 1)
        return {"L.0": np.take_along_axis(f["in0"], order, 1), "L.1": order}

    return oracle


@case("gather", version=5)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(3, 5, 2))
    indices = m.feed(net, np.array([[4, 0], [1, 1]], np.float32))
    net.layer("Gather", [x, indices], [(3, 2, 2, 2)], {"axis": 1})
    return lambda f: {"L": f["in0"][:, f["in1"].astype(int)]}


_REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "Mean": np.mean, "Sum": np.sum, "Max": np.max, "Min": np.min, "Prod": np.prod,
    "L1": lambda x, **k: np.abs(x).sum(**k), "L2": lambda x, **k: np.sqrt((x**2).sum(**k)),
    "SumSquare": lambda x, **k: (x**2).sum(**k), "LogSum": lambda x, **k: np.log(x.sum(**k)),
    "LogSumExp": lambda x, **k: np.log(np.exp(x).sum(**k)), "And": lambda x, **k: (x != 0).all(**k),
    "Or": lambda x, **k: (x != 0).any(**k),
}  # fmt: skip


def _reduce(kind: str, keep: bool) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        values = m.uniform(2, 3, 4, 5, low=0.2, high=2)
        if kind in ("And", "Or"):
            values = (m.normal(2, 3, 4, 5) > -1).astype(np.float32)
        x = m.feed(net, values)
        out = (2, 1, 4, 1) if keep else (2, 4)
        net.layer(f"Reduce{kind}", [x, net.const(np.array([1, 3]))], [out], {"keep_dims": keep})
        return lambda f: {"L": _REDUCTIONS[kind](f["in0"].astype(np.float64), axis=(1, 3), keepdims=keep)}

    return make


for _kind in _REDUCTIONS:
    case(f"reduce_{_kind.lower()}", version=6)(_reduce(_kind, True))
case("reduce_mean_dropped", version=6)(_reduce("Mean", False))


@case("one_hot", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, np.array([[0, 2, 1], [3, 0, 2]], np.float32))
    net.layer("OneHot", [x], [(2, 3, 4)], {"depth": 4, "on_value": 2.5, "off_value": -1, "axis": -1})
    return lambda f: {"L": np.where(np.arange(4) == f["in0"][..., None], 2.5, -1)}


@case("select", version=6)
def _(net: Net, m: Maker) -> Oracle:
    condition = net.const((m.normal(2, 3) > 0).astype(np.int32))
    a, b = m.feed(net, m.normal(2, 3)), m.feed(net, m.normal(2, 3))
    net.layer("Select", [condition, a, b], [(2, 3)])
    chosen = np.frombuffer(bytes(net.weights[:24]), np.int32).reshape(2, 3) != 0
    return lambda f: {"L": np.where(chosen, f["in1"], f["in2"])}


@case("range", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(4))
    numbers = net.layer("Range", [net.const(np.array([v], np.float32)) for v in (1, 9, 2)], [(4,)], name="r")
    net.layer("Eltwise", [x, *numbers], [(4,)], {"operation": "sum"})
    return lambda f: {"L": f["in0"] + np.array([1, 3, 5, 7])}


@case("fill", version=6)
def _(net: Net, m: Maker) -> Oracle:
    value = m.feed(net, m.normal(1))
    net.layer("Fill", [net.const(np.array([2, 3])), value], [(2, 3)])
    return lambda f: {"L": np.full((2, 3), f["in0"][0])}


@case("broadcast", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.normal(3, 1))
    net.layer("Broadcast", [x, net.const(np.array([2, 3, 4]))], [(2, 3, 4)])
    return lambda f: {"L": np.broadcast_to(f["in0"], (2, 3, 4))}


@case("reverse_sequence", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x, lengths = m.feed(net, m.normal(2, 4, 3)), m.feed(net, np.array([3, 2], np.float32))
    net.layer("ReverseSequence", [x, lengths], [(2, 4, 3)], {"seq_axis": 1, "batch_axis": 0})

    def oracle(f: Feeds) -> Feeds:
        y = f["in0"].copy()
        for row, n in enumerate((3, 2)):
            y[row, :n] = y[row, :n][::-1]
        return {"L": y}

    return oracle


@case("bucketize", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x, edges = m.feed(net, np.array([0.5, 1, 2.5, 3, 9], np.float32)), m.feed(net, np.array([1, 2, 3], np.float32))
    net.layer("Bucketize", [x, edges], [(5,)], {"with_right_bound": True}, precision="I32")
    return lambda f: {"L": np.digitize(f["in0"], f["in1"], right=True)}


@case("gather_tree", version=6)
def _(net: Net, m: Maker) -> Oracle:
    steps = m.feed(net, np.array([[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]], np.float32))
    parents = m.feed(net, np.array([[[0, 0, 0]], [[0, 1, 1]], [[2, 1, 2]]], np.float32))
    lengths = m.feed(net, np.array([3], np.float32))
    end = m.feed(net, np.array([10], np.float32))
    net.layer("GatherTree", [steps, parents, lengths, end], [(3, 1, 3)])
    return lambda f: {"L": np.array([[[2, 2, 2]], [[6, 5, 6]], [[7, 8, 9]]])}


@case("scatter_update", version=7, recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    x, updates = m.feed(net, m.normal(4, 3)), m.feed(net, m.normal(2, 3))
    indices = net.const(np.array([2, 0]))
    net.layer("ScatterUpdate", [x, indices, updates], [(4, 3)], {"axis": 0})

    def oracle(f: Feeds) -> Feeds:
        y = f["in0"].copy()
        y[[2, 0]] = f["in1"]
        return {"L": y}

    return oracle


@case("unique", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, np.array([3, 1, 3, 2, 1, 3], np.float32))
    attributes = {"sorted": True, "return_inverse": True, "return_counts": True}
    net.layer("Unique", [x], [(6,)] * 3, attributes)
    return lambda f: {
        "L.0": np.array([1, 2, 3, 3, 3, 3]), "L.1": np.array([2, 0, 2, 1, 0, 2]), "L.2": np.array([2, 1, 3, 0, 0, 0])
    }  # fmt: skip


@case("unique_unsorted", version=6)
def _(net: Net, m: Maker) -> None:
    x = m.feed(net, np.array([3, 1, 3, 2, 1, 3], np.float32))
    attributes = {"sorted": False, "return_inverse": True, "return_counts": True}
    net.layer("Unique", [x], [(6,)] * 3, attributes)


def _nms(center: bool) -> Any:
    def make(net: Net, m: Maker) -> None:
        corner = m.uniform(1, 12, 2)
        boxes = np.concatenate([corner, m.uniform(1, 12, 2, low=0.2, high=0.6)], 2)
        if not center:
            boxes[..., 2:] += corner
        x, scores = m.feed(net, boxes), m.feed(net, m.uniform(1, 2, 12))
        limits = [
            net.const(np.array([4])),
            net.const(np.array([0.3], np.float32)),
            net.const(np.array([0.2], np.float32)),
        ]
        net.layer("NonMaxSuppression", [x, scores, *limits], [(10, 3)], {"center_point_box": center}, precision="I32")

    return make


case("nms_corner", version=6)(_nms(False))
case("nms_center", version=6)(_nms(True))


# ------------------------------------------------------------------------------------------------- detectors' heads


def _priors(net: Net, m: Maker, type_: str, attributes: dict[str, Any], boxes: int) -> None:
    feature, image = m.feed(net, m.normal(1, 3, 5, 4)), m.feed(net, m.normal(1, 3, 64, 80))
    net.layer(type_, [feature, image], [(1, 2, 5 * 4 * boxes * 4)], attributes)


_FOUR = "0.1,0.1,0.2,0.2"
for _name, (_attributes, _boxes) in {
    "step": ({"min_size": 16, "max_size": 30, "aspect_ratio": "2,3", "flip": 1, "step": 15.789, "offset": 0.5}, 6),
    "no_step": ({"min_size": "16,20", "max_size": "", "aspect_ratio": "2", "flip": 0, "offset": 0.5}, 4),
    "repeats": ({"min_size": 16, "aspect_ratio": "1,2,0.5,2", "flip": 1, "step": 16, "offset": 0.3}, 3),
    "clip": ({"min_size": "60", "max_size": "70", "aspect_ratio": "", "flip": 1, "clip": 1, "offset": 0.5}, 2),
    "not_scaled": ({"min_size": "16,20,24", "aspect_ratio": "2,3", "flip": 0, "scale_all_sizes": 0, "offset": 0.5}, 5),
    "not_scaled_max": ({"min_size": "16,20", "max_size": "30,40", "aspect_ratio": "2", "flip": 1, "step": 16,
                        "scale_all_sizes": 0, "offset": 0.5}, 6),
    "fixed": ({"fixed_size": "10,21", "density": "2,1", "aspect_ratio": "2", "flip": 1, "step": 16, "offset": 0.5}, 15),
    "fixed_ratio": ({"fixed_size": "11,20", "fixed_ratio": "2", "density": "2,3", "step": 16, "offset": 0.5}, 13),
}.items():  # fmt: skip

    def _make(net: Net, m: Maker, attributes: Any = _attributes, boxes: int = _boxes) -> None:
        variance = {} if "aspect_ratio" in attributes and attributes["aspect_ratio"] == "" else {"variance": _FOUR}
        _priors(net, m, "PriorBox", {"clip": 0, "max_size": "", "step": 0, "flip": 0, **attributes, **variance}, boxes)

    case(f"prior_box_{_name}", version=6 if "fixed" in _name else 2)(_make)


@case("prior_box_values", recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    feature, image = m.feed(net, m.normal(1, 3, 1, 2)), m.feed(net, m.normal(1, 3, 10, 20))
    attributes = {"min_size": 4, "max_size": 9, "aspect_ratio": 4, "flip": 0, "step": 0, "offset": 0.5, "variance": 0.1}
    net.layer("PriorBox", [feature, image], [(1, 2, 24)], attributes)
    boxes = [(x, w, h) for x in (5, 15) for w, h in ((4, 4), (6, 6), (8, 2))]
    rows = [((x - w / 2) / 20, (5 - h / 2) / 10, (x + w / 2) / 20, (5 + h / 2) / 10) for x, w, h in boxes]
    return lambda f: {"L": np.stack([np.array(rows).reshape(-1), np.full(24, 0.1)])[None]}


for _name, _attributes in {
    "steps": {"step_w": 16, "step_h": 14, "clip": 0, "offset": 0.5},
    "step": {"step": 16, "clip": 1, "offset": 0.25},
    "image": {"img_w": 100, "img_h": 90, "clip": 0, "offset": 0.5},
}.items():

    def _make(net: Net, m: Maker, attributes: Any = _attributes) -> None:
        sizes = {"width": "9.4,25.1,60", "height": "15,39.6,70", "variance": _FOUR, "flip": 0, "clip": 0}
        _priors(net, m, "PriorBoxClustered", {**sizes, **attributes}, 3)

    case(f"prior_box_clustered_{_name}")(_make)


def _detections(attributes: dict[str, Any], *, target: bool = False, share: bool = True, rows: int = 2) -> Any:
    def make(net: Net, m: Maker) -> None:
        centre, size = m.uniform(20, 2, low=0.2, high=0.8), m.uniform(20, 2, low=0.1, high=0.4)
        prior = np.concatenate([centre - size / 2, centre + size / 2], 1)
        priors = np.stack([prior.reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], 20)])[None].astype(np.float32)
        scores = o.softmax(m.normal(20, 3) * 2, 1).reshape(1, 60)
        loc = m.feed(net, m.normal(1, 80 * (1 if share else 3)) * (0.1 if target else 1.0))
        conf, prior_port = m.feed(net, scores), m.feed(net, priors)
        given = {
            "num_classes": 3, "top_k": 18, "keep_top_k": 15, "nms_threshold": 0.45, "confidence_threshold": 0.05,
            "code_type": "caffe.PriorBoxParameter.CENTER_SIZE", "share_location": int(share),
            "background_label_id": 0, "variance_encoded_in_target": int(target), **attributes,
        }  # fmt: skip
        net.layer("DetectionOutput", [loc, conf, prior_port], [(1, 1, 15, 7)], given)

    return make


case("detection_output", version=2)(_detections({"eta": 1}))
case("detection_output_corner")(_detections({"code_type": "caffe.PriorBoxParameter.CORNER"}))
case("detection_output_not_shared")(_detections({}, share=False))
case("detection_output_clip")(_detections({"clip": 1, "input_height": -1, "input_width": -1}))
case("detection_output_clip_after", version=6)(_detections({"clip_after_nms": 1}))
case("detection_output_target", version=5)(_detections({}, target=True))
case("detection_output_mxnet", version=6)(_detections({"decrease_label_id": 1}))


@case("proposal", version=5)
def _(net: Net, m: Maker) -> None:
    scores = m.feed(net, m.uniform(1, 12, 4, 5))
    deltas, info = m.feed(net, m.normal(1, 24, 4, 5) * 0.2), m.feed(net, np.array([[64, 80, 1]], np.float32))
    attributes = {
        "feat_stride": 16, "base_size": 16, "min_size": 4, "pre_nms_topn": 50, "post_nms_topn": 10, "nms_thresh": 0.6,
        "ratio": "0.5,1,2", "scale": "1,2", "clip_before_nms": 1, "clip_after_nms": 0, "normalize": 0,
        "box_size_scale": 1.0, "box_coordinate_scale": 1.0, "framework": "",
    }  # fmt: skip
    net.layer("Proposal", [scores, deltas, info], [(10, 5)], attributes)


@case("simpler_nms", version=2)
def _(net: Net, m: Maker) -> None:
    scores = m.feed(net, m.uniform(1, 18, 4, 5))
    deltas, info = m.feed(net, m.normal(1, 36, 4, 5) * 0.2), m.feed(net, np.array([[64, 80, 1]], np.float32))
    attributes = {
        "cls_threshold": 0.5, "max_num_proposals": 300, "iou_threshold": 0.6, "min_bbox_size": 4, "feat_stride": 16,
        "pre_nms_topn": 50, "post_nms_topn": 10, "scale": "1,2,3",
    }  # fmt: skip
    net.layer("SimplerNMS", [scores, deltas, info], [(10, 5)], attributes)


def _roi(method: str) -> Any:
    def make(net: Net, m: Maker) -> None:
        x = m.feed(net, m.normal(1, 3, 10, 12))
        corners = m.uniform(4, 2, low=0, high=60)
        rois = np.concatenate([np.zeros((4, 1)), corners, corners + m.uniform(4, 2, low=20, high=60)], 1)
        if method == "bilinear":
            rois[:, 1:] = np.clip(rois[:, 1:] / 130, 0, 1)
        boxes = m.feed(net, rois.astype(np.float32))
        scale = 1.0 if method == "bilinear" else 0.0625
        attributes = {"pooled_h": 3, "pooled_w": 2, "spatial_scale": scale, "method": method}
        net.layer("ROIPooling", [x, boxes], [(4, 3, 3, 2)], attributes)

    return make


case("roi_pooling_max", version=5)(_roi("max"))
case("roi_pooling_bilinear", version=5)(_roi("bilinear"))


@case("psroi_pooling", version=5)
def _(net: Net, m: Maker) -> None:
    x = m.feed(net, m.normal(1, 8, 10, 12))
    corners = m.uniform(3, 2, low=0, high=60)
    rois = np.concatenate([np.zeros((3, 1)), corners, corners + 70], 1).astype(np.float32)
    attributes = {"output_dim": 2, "group_size": 2, "spatial_scale": 0.0625}
    net.layer("PSROIPooling", [x, m.feed(net, rois)], [(3, 2, 2, 2)], attributes)


def _region(softmax: int, mask: str) -> Any:
    def make(net: Net, m: Maker) -> None:
        x = m.feed(net, m.normal(1, 16, 3, 3))
        attributes = {
            "axis": 1, "end_axis": 3, "classes": 3, "coords": 4, "num": 2 if softmax else 6, "do_softmax": softmax,
            "mask": mask,
        }  # fmt: skip
        net.layer("RegionYolo", [x], [(1, 144) if softmax else (1, 16, 3, 3)], attributes)

    return make


case("region_yolo_softmax")(_region(1, ""))
case("region_yolo_mask", version=5)(_region(0, "0,1"))


@case("reorg_yolo")
def _(net: Net, m: Maker) -> None:
    x = m.feed(net, m.normal(1, 8, 6, 4))
    net.layer("ReorgYolo", [x], [(1, 32, 3, 2)], {"stride": 2})


@case("ctc_greedy_decoder", version=4)
def _(net: Net, m: Maker) -> Oracle:
    best = np.array([0, 0, 1, 4, 1, 1, 2, 4, 4])
    logits = np.full((9, 1, 5), -1, np.float32)
    logits[np.arange(9), 0, best] = 1
    mask = np.ones((9, 1), np.float32)
    mask[0] = 0
    x, steps = m.feed(net, logits), m.feed(net, mask)
    net.layer("CTCGreedyDecoder", [x, steps], [(1, 9, 1, 1)], {"ctc_merge_repeated": 1})
    return lambda f: {"L": np.array([0, 1, 1, 2, -1, -1, -1, -1, -1]).reshape(1, 9, 1, 1)}


# ---------------------------------------------------------------------------------------------- quantised and sparse


@case("fake_quantize", version=6)
def _(net: Net, m: Maker) -> Oracle:
    x = m.feed(net, m.uniform(1, 2, 3, 4, low=-2, high=3))
    bounds = [net.const(np.array([v], np.float32).reshape(1, 1, 1, 1)) for v in (-1, 2, -1, 2)]
    y = net.layer("FakeQuantize", [x, *bounds], [(1, 2, 3, 4)], {"levels": 16}, name="fq")
    net.layer("ReLU", y, [(1, 2, 3, 4)])
    return lambda f: {"L": np.maximum(0, np.rint((np.clip(f["in0"], -1, 2) + 1) / 3 * 15) / 15 * 3 - 1)}


def _binary(pad: float) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        bits = m.rng.integers(0, 2, (4, 8, 3, 3)).astype(np.uint8)
        x = m.feed(net, m.normal(1, 8, 5, 6))
        bounds = [net.const(np.full((1, 1, 1, 1), v, np.float32)) for v in (0, 0, -1, 1)]
        sign = net.layer("Quantize", [x, *bounds], [(1, 8, 5, 6)], {"levels": 2}, name="q")
        shape = {"kernel": (3, 3), "strides": (1, 1), "pads_begin": (1, 1), "pads_end": (1, 1), "dilations": (1, 1)}
        attributes = {**shape, "output": 4, "group": 1, "mode": "xnor-popcount", "pad_value": pad, "in_depth": 8}
        packed = np.packbits(bits.reshape(-1), bitorder="little")
        net.layer("BinaryConvolution", sign, [(1, 4, 5, 6)], attributes, {"weights": packed})

        def oracle(f: Feeds) -> Feeds:
            signs = np.pad(np.where(f["in0"] > 0, 1.0, -1.0), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=pad)
            return {"L": o.convolution(signs, bits * 2.0 - 1, None, strides=(1, 1), begin=(0, 0), out=(5, 6))}

        return oracle

    return make


case("binary_convolution", version=5, recorded=False)(_binary(0.0))
case("binary_convolution_pad", version=5, recorded=False)(_binary(-1.0))


@case("deformable_convolution", version=6, recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    w = m.half(3, 2, 3, 3)
    x, offsets = m.feed(net, m.normal(1, 2, 6, 6)), m.feed(net, np.zeros((1, 18, 6, 6), np.float32))
    shape = {"kernel": (3, 3), "strides": (1, 1), "pads_begin": (1, 1), "pads_end": (1, 1), "dilations": (1, 1)}
    attributes = {**shape, "output": 3, "group": 1, "deformable_group": 1}
    net.layer("DeformableConvolution", [x, offsets], [(1, 3, 6, 6)], attributes, {"weights": w})
    return lambda f: {"L": o.convolution(f["in0"], w, None, strides=(1, 1), begin=(1, 1), out=(6, 6))}


def _segments(kind: str) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        x = m.feed(net, m.normal(6, 3))
        indices = m.feed(net, np.array([0, 3, 5, 1, 1], np.float32))
        ids = m.feed(net, np.array([0, 0, 1, 1, 1], np.float32))
        net.layer(f"SparseSegment{kind}", [x, indices, ids], [(5, 3)])

        def oracle(f: Feeds) -> Feeds:
            parts = [f["in0"][[0, 3]], f["in0"][[5, 1, 1]]]
            scale = {"Sum": lambda n: 1, "Mean": lambda n: n, "SqrtN": np.sqrt}[kind]
            rows = [p.sum(0) / scale(len(p)) for p in parts]
            return {"L": np.stack(rows + [np.zeros(3)] * 3)}

        return oracle

    return make


for _kind in ("Sum", "Mean", "SqrtN"):
    case(f"sparse_segment_{_kind.lower()}", version=7)(_segments(_kind))


def _fill_empty(indices: list[list[int]], out: int) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        places = np.array(indices, np.float32)
        ports = [m.feed(net, places), m.feed(net, m.normal(len(indices)))]
        ports += [net.const(np.array([5, 4], np.float32)), m.feed(net, m.normal(1))]
        net.layer("SparseFillEmptyRows", ports, [(out, 2), (out,), (5,)])

        def oracle(f: Feeds) -> Feeds:
            rows = []
            for (row, column), value in zip(f["in0"], f["in1"], strict=True):
                if not (0 <= row < 5 and 0 <= column < 4):
                    break
                rows.append((row, column, value))
            missing = [row for row in range(5) if row not in {r[0] for r in rows}]
            rows = sorted(rows + [(row, 0, f["in3"][0]) for row in missing], key=lambda r: r[0])
            table = np.zeros((out, 3))
            table[: len(rows)] = rows
            if len(rows) < out:
                table[len(rows), :2] = -1
            return {"L.0": table[:, :2], "L.1": table[:, 2], "L.2": np.isin(np.arange(5), missing)}

        return oracle

    return make


case("sparse_fill_empty_rows", version=7)(_fill_empty([[1, 0], [1, 3], [4, 2], [-1, -1], [0, 0]], 8))
case("sparse_fill_empty_rows_longer", version=7)(_fill_empty([[3, 1], [0, 2]], 12))


@case("sparse_weighted_sum", version=7)
def _(net: Net, m: Maker) -> Oracle:
    table = m.normal(6, 3)
    ports = [m.feed(net, np.array([[0, 0], [0, 1], [2, 0]], np.int32), "I32")]
    ports += [m.feed(net, np.array([4, 1, 2], np.int32), "I32"), net.const(np.array([4, 2])), net.const(table)]
    default = net.const(np.array([5]))
    net.layers[-1] = net.layers[-1].replace("<dim>1</dim>", "")
    ports += [Port(default.layer, default.port, ()), m.feed(net, m.normal(3))]
    net.layer("ExperimentalSparseWeightedSum", ports, [(4, 3)])

    def oracle(f: Feeds) -> Feeds:
        w = f[f"in{ports[5].layer}"]
        return {"L": np.stack([table[4] * w[0] + table[1] * w[1], table[5], table[2] * w[2], table[5]])}

    return oracle


@case("sparse_to_dense", version=7, recorded=False)
def _(net: Net, m: Maker) -> Oracle:
    indices = m.feed(net, np.array([[0, 1], [2, 3]], np.int32), "I32")
    shape = net.const(np.array([3, 4]))
    values, default = m.feed(net, m.normal(2)), m.feed(net, m.normal(1))
    net.layer("SparseToDense", [indices, shape, values, default], [(3, 4)])

    def oracle(f: Feeds) -> Feeds:
        y = np.full((3, 4), f["in3"][0])
        y[0, 1], y[2, 3] = f["in2"]
        return {"L": y}

    return oracle


# ---------------------------------------------------------------------------------------------------------- Detectron


def _rois(m: Maker, count: int) -> np.ndarray:
    corners = m.uniform(count, 2, low=0, high=60)
    return np.concatenate([corners, corners + m.uniform(count, 2, low=8, high=40)], 1)


@case("detectron_detection_output", version=6)
def _(net: Net, m: Maker) -> None:
    inputs = [m.feed(net, v) for v in (_rois(m, 12), m.normal(12, 12) * 0.2, o.softmax(m.normal(12, 3) * 2, 1))]
    inputs.append(m.feed(net, np.array([[96, 112, 1]], np.float32)))
    attributes = {
        "score_threshold": 0.05, "nms_threshold": 0.5, "max_delta_log_wh": 4.135, "num_classes": 3,
        "post_nms_count": 20, "max_detections_per_image": 10, "class_agnostic_box_regression": 0,
        "deltas_weights": "10,10,5,5",
    }  # fmt: skip
    net.layer("ExperimentalDetectronDetectionOutput", inputs, [(10, 4), (10,), (10,)], attributes)


@case("detectron_proposals", version=6)
def _(net: Net, m: Maker) -> None:
    info = m.feed(net, np.array([[96, 112, 1]], np.float32))
    inputs = [info, *(m.feed(net, v) for v in (_rois(m, 36), m.normal(12, 3, 4) * 0.2, m.uniform(3, 3, 4)))]
    attributes = {"min_size": 1, "nms_threshold": 0.6, "pre_nms_count": 30, "post_nms_count": 10}
    net.layer("ExperimentalDetectronGenerateProposalsSingleImage", inputs, [(10, 4), (10,)], attributes)


@case("detectron_prior_grid", version=6)
def _(net: Net, m: Maker) -> None:
    inputs = [m.feed(net, v) for v in (m.normal(3, 4) * 10, m.normal(1, 2, 4, 5), m.normal(1, 3, 64, 80))]
    attributes = {"flatten": 1, "h": 0, "w": 0, "stride_x": 16, "stride_y": 16}
    net.layer("ExperimentalDetectronPriorGridGenerator", inputs, [(60, 4)], attributes)


@case("detectron_features", version=6)
def _(net: Net, m: Maker) -> None:
    inputs = [m.feed(net, v) for v in (_rois(m, 5), m.normal(1, 2, 24, 28), m.normal(1, 2, 12, 14))]
    attributes = {"output_size": 3, "sampling_ratio": 2, "pyramid_scales": "4,8", "distribute_rois_between_levels": 1}
    net.layer("ExperimentalDetectronROIFeatureExtractor", inputs, [(5, 2, 3, 3)], attributes)


@case("detectron_top_k", version=6)
def _(net: Net, m: Maker) -> Oracle:
    inputs = [m.feed(net, v) for v in (_rois(m, 8), m.uniform(8))]
    net.layer("ExperimentalDetectronTopKROIs", inputs, [(4, 4)], {"max_rois": 4})
    return lambda f: {"L": f["in0"][np.argsort(-f["in1"])[:4]]}


# ------------------------------------------------------------------------------------------------------- recurrence

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _cell(kind: str, extra: dict[str, Any]) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        gates, hidden, width = GATES[kind], 4, 3
        w = m.normal(gates * hidden, width + hidden) * np.float32(0.5)
        b = m.normal((gates + bool(extra)) * hidden) * np.float32(0.5)
        x = m.feed(net, m.normal(2, width))
        states = [m.feed(net, m.normal(2, hidden)) for _ in range(2 if kind == "LSTM" else 1)]
        net.layer(
            f"{kind}Cell", [x, *states], [(2, hidden)] * len(states), {"hidden_size": hidden, **extra},
            {"weights": w, "biases": b},
        )  # fmt: skip

        def oracle(f: Feeds) -> Feeds:
            new = o.cell(kind, *f.values(), w=w, b=b, linear_before_reset=bool(extra))
            return {f"L.{i}": y for i, y in enumerate(new)} if len(new) > 1 else {"L": new[0]}

        return oracle

    return make


def _sequence(kind: str, axis: int, direction: str, extra: dict[str, Any]) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        gates, hidden, width = GATES[kind], 4, 3
        w = m.normal(gates * hidden, width + hidden) * np.float32(0.5)
        b = m.normal((gates + bool(extra)) * hidden) * np.float32(0.5)
        shape = (2, 5) if axis == 1 else (5, 2)
        x = m.feed(net, m.normal(*shape, width))
        states = [m.feed(net, m.normal(2, hidden)) for _ in range(2 if kind == "LSTM" else 1)]
        attributes = {"hidden_size": hidden, "axis": axis, "direction": direction, **extra}
        outputs = [(*shape, hidden), *[(2, hidden)] * len(states)]
        net.layer(f"{kind}Sequence", [x, *states], outputs, attributes, {"weights": w, "biases": b})

        def oracle(f: Feeds) -> Feeds:
            data, *state = f.values()
            data = data if axis == 1 else data.swapaxes(0, 1)
            steps = range(5) if direction == "Forward" else reversed(range(5))
            whole = np.zeros((2, 5, hidden))
            for step in steps:
                state = o.cell(kind, data[:, step], *state, w=w, b=b, linear_before_reset=bool(extra))
                whole[:, step] = state[0]
            whole = whole if axis == 1 else whole.swapaxes(0, 1)
            return {f"L.{i}": y for i, y in enumerate([whole, *state])}

        return oracle

    return make


for _kind, _extra in (("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {})):
    _name = f"{_kind.lower()}{'_lbr' if _extra else ''}"
    case(f"{_name}_cell", version=5)(_cell(_kind, _extra))
    for _axis in (0, 1):
        for _direction in ("Forward", "Backward"):
            case(f"{_name}_sequence_{_axis}_{_direction.lower()}", version=5)(
                _sequence(_kind, _axis, _direction, _extra)
            )


def _loop(reverse: bool) -> Any:
    def make(net: Net, m: Maker) -> Oracle:
        w, b = m.normal(16, 7) * np.float32(0.5), m.normal(16) * np.float32(0.5)
        ports = [m.feed(net, m.normal(2, 5, 3)), m.feed(net, m.normal(2, 4)), m.feed(net, m.normal(2, 4))]
        body = Net(version=net.version, weights=net.weights)
        sliced = Port(99, 0, (2, 1, 3))
        flat = body.layer("Reshape", [sliced], [(2, 3)], {"dim": "-1,3"}, name="flat")
        states = [Port(99, i, (2, 4)) for i in (1, 2)]
        new = body.layer(
            "LSTMCell", [*flat, *states], [(2, 4)] * 2, {"hidden_size": 4}, {"weights": w, "biases": b}, name="cell"
        )
        body.layer("Reshape", [new[0]], [(2, 1, 4)], {"dim": "-1,1,4"}, name="deep")
        body.edges = [edge for edge in body.edges if 'from-layer="99"' not in edge]
        cut = 'axis="1" part_size="1" ' + ('start="-1" end="0" stride="-1"' if reverse else 'start="0" stride="1"')
        rows = (
            f'<input external_port_id="0" internal_layer_id="0" internal_port_id="0" {cut}/>'
            '<input external_port_id="1" internal_layer_id="1" internal_port_id="1"/>'
            '<input external_port_id="2" internal_layer_id="1" internal_port_id="2"/>'
            f'<output external_port_id="3" internal_layer_id="2" internal_port_id="1" {cut}/>'
            f'<output external_port_id="4" internal_layer_id="1" internal_port_id="{new[1].port}"/>'
        )
        back = "".join(
            f'<edge from-layer="1" from-port="{new[i].port}" to-layer="1" to-port="{i + 1}"/>' for i in range(2)
        )
        extra = f"<port_map>{rows}</port_map><back_edges>{back}</back_edges>{body.body()}"
        net.layer("TensorIterator", ports, [(2, 5, 4), (2, 4)], extra=extra)

        def oracle(f: Feeds) -> Feeds:
            data, *state = f.values()
            whole = np.zeros((2, 5, 4))
            for step in reversed(range(5)) if reverse else range(5):
                state = o.cell("LSTM", data[:, step], *state, w=w, b=b)
                whole[:, step] = state[0]
            return {"L.0": whole, "L.1": state[1]}

        return oracle

    return make


for _version in (4, 5, 6, 7):
    case(f"tensor_iterator_v{_version}", version=_version)(_loop(False))
case("tensor_iterator_reverse", version=5)(_loop(True))


# --------------------------------------------------------------------------------------------------- half precision

HALVES = [name for name, c in CASES.items() if c.recorded and not c.half and "<weights" in c.build()[0].xml()]
"""All cases with weights, which are also written in half precision; the oracles know only the unrounded weights."""

for _name in HALVES:
    case(f"{_name}_half", version=CASES[_name].version, half=True, tolerance=5e-3)(CASES[_name].make)
