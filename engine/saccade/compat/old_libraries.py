"""Old scripts and today's libraries: boto3 that is installed already, NumPy 2.

OpenCV and Pillow have modules of their own (`old_opencv`, `old_pillow`). What changes is what a script imports
(`old_modules.Modules`): the libraries themselves stay as they are, and so do those that use them. Each change is told
to the `Report` when it does something.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from saccade.compat import old_opencv, old_pillow
from saccade.compat.old_modules import Modules, Names
from saccade.compat.old_python import Report
from saccade.compat.old_text import text


def adapt(modules: Modules, report: Report, version: int) -> None:
    """Give a script today's libraries as it knew them. version : the script's Python, 2 or 3."""
    modules.add({name: _boto(name, report) for name in ("boto3", "botocore", "botocore.session", "boto3.session")})
    for name in ("urllib", "urllib.request"):
        modules.layer(name, lambda module: {"urlretrieve": retrieving(report)})
    modules.layer("os", lambda module: _skipping(module, report, {"system": 0, "popen": None}))
    modules.layer(
        "subprocess",
        lambda module: _skipping(
            module, report, {"call": 0, "check_call": 0, "check_output": None, "run": None, "Popen": None}
        ),
    )
    modules.layer("numpy", lambda module: _numpy(module, version))
    old_opencv.adapt(modules, report, version)
    old_pillow.adapt(modules, report, version)


# boto3


_BOTO = re.compile(r"boto", re.IGNORECASE)
_PIP_BOTO = re.compile(r"\bpip[\d.]*\b.*\binstall\b.*\bboto", re.IGNORECASE | re.DOTALL)


def retrieving(report: Report) -> Callable[..., Any]:
    """`urlretrieve` that does not download what is installed."""
    from urllib.request import urlretrieve

    @functools.wraps(urlretrieve)
    def wrapped(url: str, filename: str | None = None, *arguments: Any, **options: Any) -> Any:
        if filename is not None and _BOTO.search(url.rpartition("/")[2]) and url.endswith(".zip"):
            import zipfile

            report.note(f"{url} was not downloaded: boto3 is installed here")
            with zipfile.ZipFile(filename, "w"):
                pass
            return filename, None
        return urlretrieve(url, filename, *arguments, **options)

    return wrapped


def _boto(name: str, report: Report) -> Callable[[], Any]:
    def maker() -> Any:
        module = importlib.import_module(name)
        _adapt_boto3(report)
        return module

    return maker


def _adapt_boto3(report: Report) -> None:
    """One client a service, objects that stay private, a region where none is set; for boto3 and botocore."""
    import botocore.session

    if getattr(botocore.session.Session.create_client, "shares_clients", False):
        return
    session_class = botocore.session.Session
    if not os.environ.get("AWS_DEFAULT_REGION"):
        # Functions have both variables; boto3 looks at this one.
        region = os.environ.get("AWS_REGION") or session_class().get_config_variable("region")
        if not region:
            region = "us-east-1"
            report.note("AWS region us-east-1 was taken, as none is set (AWS_DEFAULT_REGION)")
        os.environ["AWS_DEFAULT_REGION"] = str(region)
    make = session_class.create_client
    clients: dict[str, Any] = {}
    lock = threading.Lock()

    def private(params: dict[str, Any], **_: Any) -> None:
        if str(params.get("ACL", "")).startswith("public"):
            report.note(f"ACL={params['ACL']!r} was left out of S3 uploads: new buckets refuse it; faces are private")
            del params["ACL"]

    @functools.wraps(make)
    def create_client(self: Any, service_name: str, *arguments: Any, **options: Any) -> Any:
        key = repr((_identity(self), service_name, arguments, sorted(map(_said, options.items()))))
        with lock:
            if key not in clients:
                made = clients[key] = make(self, service_name, *arguments, **options)
                if service_name == "s3":
                    made.meta.events.register("provide-client-params.s3.PutObject", private)
            else:
                report.note(f"the client for {service_name} is made once and shared")
            return clients[key]

    create_client.shares_clients = True  # type: ignore[attr-defined]
    session_class.create_client = create_client  # type: ignore[method-assign]


def _identity(session: Any) -> tuple[Any, ...]:
    """What tells the clients of one botocore session from another's: profile, region, credentials that it was given."""
    given = session._credentials
    explicit = given is not None and given.method == "explicit"
    return session.profile, session.get_config_variable("region"), (given.access_key, given.token) if explicit else None


def _said(option: tuple[str, Any]) -> tuple[str, str]:
    """An option of a client by what it says: two `Config` that say the same are not one object."""
    return option[0], repr(getattr(option[1], "_user_provided_options", option[1]))


def _skipping(module: Any, report: Report, results: dict[str, Any]) -> Names:
    """What starts a program. Installations of boto3 are skipped: with the result given for them, else `true` is run."""

    def installs(*arguments: Any, **options: Any) -> bool:
        command = arguments[0] if arguments else options.get("args", "")
        words = command if isinstance(command, list | tuple) else [command]
        line = " ".join(str(text(word) if isinstance(word, bytes) else word) for word in words)
        found = _PIP_BOTO.search(line) is not None
        if found:
            report.note(f"`{line[:80]}` was not run: boto3 is installed here")
        return found

    def harmless(arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return ("true", *arguments[1:]), {name: value for name, value in options.items() if name != "args"}

    def skipping(function: Any, result: Any) -> Any:
        if isinstance(function, type):

            class Wrapped(function):  # type: ignore[misc]
                def __init__(self, *arguments: Any, **options: Any) -> None:
                    if installs(*arguments, **options):
                        arguments, options = harmless(arguments, options)
                    super().__init__(*arguments, **options)

            return Wrapped

        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if not installs(*arguments, **options):
                return function(*arguments, **options)
            if result is not None:
                return result
            arguments, options = harmless(arguments, options)
            return function(*arguments, **options)

        return wrapped

    return {name: skipping(getattr(module, name), result) for name, result in results.items()}


# NumPy


def _numpy(module: Any, version: int) -> Names:
    """Names that NumPy 2 has dropped."""
    gone = {
        "int": int, "float": float, "bool": np.bool_, "object": object, "str": str, "long": int, "unicode": str,
        "complex": complex, "float_": np.float64, "int_": np.int64, "int0": np.intp, "uint0": np.uintp,
        "bool8": np.bool_, "complex_": np.complex128, "longfloat": np.longdouble, "singlecomplex": np.complex64,
        "cfloat": np.complex128, "string_": np.bytes_, "unicode_": np.str_, "NaN": np.nan, "Inf": np.inf,
        "Infinity": np.inf, "infty": np.inf, "PINF": np.inf, "NINF": -np.inf, "product": np.prod,
        "cumproduct": np.cumprod, "alltrue": np.all, "sometrue": np.any, "round_": np.round, "rank": np.ndim,
        "asscalar": lambda array: array.item(), "find_common_type": lambda a, b: np.result_type(*a, *b),
        "mat": np.asmatrix, "in1d": np.isin, "trapz": getattr(np, "trapezoid", None), "row_stack": np.vstack,
        "msort": lambda array: np.sort(array, axis=0),
    }  # fmt: skip
    names = {name: value for name, value in gone.items() if name not in vars(np) and value is not None}
    original = np.fromstring

    @functools.wraps(original)
    def fromstring(data: Any, dtype: Any = float, count: int = -1, sep: str = "", **options: Any) -> Any:
        if sep == "":
            raw = data.encode("latin-1") if isinstance(data, str) else bytes(data)
            return np.frombuffer(raw, dtype, count).copy()
        return original(data, dtype, count, sep=sep, **options)

    if version == 3:
        _print_as_numpy_1()
    return names | {"fromstring": fromstring}


def _print_as_numpy_1() -> None:
    """`0.5`, not `np.float64(0.5)`, in this process; what scripts of Python 2 print goes through `old_text.repr_of`."""
    np.set_printoptions(legacy="1.25")
    with contextlib.suppress(ImportError, AttributeError):
        # That holds in its own thread; the others start with this.
        default = importlib.import_module("numpy._core.printoptions").default_format_options_dict
        default["legacy"] = 125
