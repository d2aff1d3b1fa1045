"""Modules as old scripts import them: lost names given back, in the script's own imports only.

`Modules.load` stands for `__import__` in the code of a script and of the modules that belong to it. It hands out
facades: the real module, with some names changed. The modules themselves, and so the libraries that use them, stay as
they are.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from saccade.compat import old_operators, old_text
from saccade.compat.old_calls import call
from saccade.compat.old_text import OldUnicode, old, plain, raw, text

Names = Mapping[str, Any]


class Facade(types.ModuleType):
    """A module with some names changed; everything else is read from the module and written to it."""

    def __init__(self, name: str, real: Any, names: Names, missing: Callable[[str], Any] | None = None) -> None:
        super().__init__(name, getattr(real, "__doc__", None))
        self.__dict__.update(_real=real, _names=dict(names), _missing=missing)

    def __getattr__(self, name: str) -> Any:
        here = self.__dict__
        if name in here["_names"]:
            return here["_names"][name]
        if name == "__all__":
            names = [n for n in dir(here["_real"]) if not n.startswith("_")]
            return sorted({*getattr(here["_real"], "__all__", names), *(n for n in here["_names"] if n[0] != "_")})
        try:
            return getattr(here["_real"], name)
        except AttributeError:
            if here["_missing"] is None or name.startswith("__"):
                raise
            return here["_missing"](name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["_names"].pop(name, None)
        setattr(self.__dict__["_real"], name, value)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self.__dict__["_real"]), *self.__dict__["_names"]})


def _real(module: Any) -> Any:
    """The module behind facades."""
    while isinstance(module, Facade):
        module = module.__dict__["_real"]
    return module


class Modules:
    """The imports of one script.

    version : 2 or 3. own : True for the name of a module that lies beside the script, which comes first.
    """

    def __init__(self, version: int, own: Callable[[str], bool] = lambda name: False) -> None:
        self._own = own
        self._makers: dict[str, Callable[[], Any]] = {}
        self._made: dict[str, Any] = {}
        self.add(_LOST)
        if version == 2:
            self.add(_OLD)

    def add(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        """Further modules by name; a maker gives the module."""
        self._makers.update(makers)

    def layer(self, name: str, names: Callable[[Any], Names], missing: Callable[[str], Any] | None = None) -> None:
        """Change further names of a module.

        names : gives the new ones, from the module as it was. missing : gives one that there is not.
        """
        before = self._makers.get(name)

        def maker() -> Any:
            module = before() if before is not None else importlib.import_module(name)
            return Facade(name, module, names(module), missing)

        self._makers[name] = maker

    def load(self, name: str, scope: Any = None, local: Any = None, names: Any = (), level: int = 0) -> Any:
        """`__import__` of a script."""
        if level or self._own(name.partition(".")[0]):
            return __import__(name, scope, local, names, level)
        if name in self._makers:
            module = self.module(name)
            if names and hasattr(module, "__path__"):
                # Modules of a package that nothing has imported yet.
                __import__(_real(module).__name__, fromlist=names)
            return module if names or "." not in name else self._top(name)
        found = __import__(name, scope, local, names, level)
        if not names and found.__name__ in self._makers:
            return self.module(found.__name__)
        return found

    def module(self, name: str) -> Any:
        """The module that stands for `name`."""
        if name in self._makers:
            if name not in self._made:
                self._made[name] = self._makers[name]()
            return self._made[name]
        return importlib.import_module(name)

    def _top(self, name: str) -> Any:
        """What `import a.b.c` binds, with the way to c below it."""
        parts = name.split(".")
        inner = self.module(name)
        for depth in range(len(parts) - 1, 0, -1):
            package = self.module(".".join(parts[:depth]))
            inner = Facade(package.__name__, package, {parts[depth]: inner})
        return inner


def _facade(real: str, make: Callable[[Any], Names], name: str = "") -> Callable[[], Any]:
    def maker() -> Any:
        module = importlib.import_module(real)
        return Facade(name or real, module, make(module))

    return maker


def _lacking(real: str, **names: Any) -> Callable[[], Any]:
    """A facade that gives names where the module has them no more."""
    return _facade(real, lambda module: {k: v for k, v in names.items() if not hasattr(module, k)})


# What later versions of Python 3 have dropped, for scripts of 2.7 and of 3.7 alike


def _collections(module: Any) -> Names:
    import collections.abc

    return {name: getattr(collections.abc, name) for name in collections.abc.__all__}


def _inspect(module: Any) -> Names:
    import collections

    ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")

    def getargspec(function: Any) -> Any:
        full = module.getfullargspec(function)
        return ArgSpec(full.args, full.varargs, full.varkw, full.defaults)

    return {"getargspec": getargspec}


def _imp() -> Any:
    """`imp`: sources are loaded as the script itself is."""
    module = types.ModuleType("imp")

    def load_source(name: str, path: str, file: Any = None) -> Any:
        made = types.ModuleType(name)
        made.__file__ = path
        sys.modules[name] = made
        frame = sys._getframe(1)
        while "__saccade_load__" not in frame.f_builtins and frame.f_back is not None:
            frame = frame.f_back
        frame.f_builtins["__saccade_load__"](path, vars(made), names=frame.f_builtins)
        return made

    def load_module(name: str, file: Any, path: str, description: Any) -> Any:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            return load_source(name, path)
        return importlib.import_module(name)

    def find_module(name: str, path: Any = None) -> Any:
        import importlib.machinery

        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None:
            raise ImportError(f"No module named {name}")
        return None, spec.origin, ("", "", 1)

    vars(module).update(
        load_source=load_source, find_module=find_module, new_module=types.ModuleType, reload=importlib.reload,
        load_module=load_module, PY_SOURCE=1, acquire_lock=lambda: None, release_lock=lambda: None,
    )  # fmt: skip
    return module


def _json_of_3(module: Any) -> Names:
    def read(function: Callable[..., Any]) -> Callable[..., Any]:
        """It ignored an encoding, and takes none any more."""
        return lambda source, encoding=None, **options: function(source, **options)

    return {"load": read(module.load), "loads": read(module.loads)}


_LOST: dict[str, Callable[[], Any]] = {
    "time": _facade("time", lambda time: {"clock": time.perf_counter}),
    "collections": _facade("collections", _collections),
    "base64": _facade("base64", lambda m: {"encodestring": m.encodebytes, "decodestring": m.decodebytes}),
    "fractions": _facade("fractions", lambda m: {"gcd": importlib.import_module("math").gcd}),
    "platform": _lacking("platform", linux_distribution=lambda *_, **__: ("Ubuntu", "16.04", "xenial"),
                         dist=lambda *_, **__: ("Ubuntu", "16.04", "xenial")),
    "inspect": _facade("inspect", _inspect),
    "json": _facade("json", _json_of_3),
    "xml.etree.cElementTree": lambda: importlib.import_module("xml.etree.ElementTree"),
    "imp": _imp,
    # `cgi` is gone since Python 3.13; what scripts took from it is `escape`, which left the quotes.
    "cgi": _facade("html" if sys.version_info >= (3, 13) else "cgi", lambda m: {
        "escape": lambda value, quote=False: importlib.import_module("html").escape(value, quote)}, "cgi"),
}  # fmt: skip


# What Python 3 has renamed or dropped


def _string(module: Any) -> Names:
    def method(name: str) -> Callable[..., Any]:
        return lambda value, *arguments: call(getattr(value, name), *arguments)

    names = """find rfind index rindex count replace strip lstrip rstrip lower upper split rsplit zfill ljust rjust
        center swapcase capitalize expandtabs translate"""
    by_method = {name: method(name) for name in names.split()}

    def joined(words: Any, separator: Any = " ") -> Any:
        return old_text.join(separator, words)

    def maketrans(before: Any, after: Any) -> Any:
        return plain(bytes.maketrans(raw(before), raw(after)))

    return by_method | {
        "letters": module.ascii_letters, "lowercase": module.ascii_lowercase, "uppercase": module.ascii_uppercase,
        "join": joined, "joinfields": joined, "splitfields": by_method["split"], "maketrans": maketrans, "atoi": int,
        "atol": int, "atof": float,
    }  # fmt: skip


def _json(module: Any) -> Names:
    class Encoder(module.JSONEncoder):  # type: ignore[misc]
        """Takes NumPy's numbers and byte strings."""

        def default(self, value: Any) -> Any:
            if isinstance(value, bytes):
                return value.decode("utf-8", "replace")
            if isinstance(value, np.generic):
                return value.item()
            return super().default(value)

    def keyed(value: Any) -> Any:
        """The same with keys that JSON has."""
        if isinstance(value, dict):
            return type(value)((_key(k), keyed(v)) for k, v in value.items()) if _is_plain(value) else value
        if type(value) in (list, tuple):
            return [keyed(v) for v in value]
        return value

    def dumps(value: Any, **options: Any) -> Any:
        options.pop("encoding", None)
        options["cls"] = options.get("cls") or Encoder
        if options.get("indent") is not None and "separators" not in options:
            options["separators"] = (", ", ": ")  # with the space at the end of the line that there was
        return module.dumps(keyed(value), **options)

    def dump(value: Any, file: Any, **options: Any) -> None:
        old_text.write(file, dumps(value, **options))

    def loads(data: Any, encoding: Any = None, **options: Any) -> Any:
        return _in_unicode(module.loads(raw(data), **options))

    def load(file: Any, encoding: Any = None, **options: Any) -> Any:
        return loads(file.read(), **options)

    return {"JSONEncoder": Encoder, "dumps": dumps, "dump": dump, "loads": loads, "load": load}


def _is_plain(value: Any) -> bool:
    import collections

    return type(value) in (dict, collections.OrderedDict)


def _key(key: Any) -> Any:
    if isinstance(key, np.generic):
        return key.item()
    return text(key)


def _in_unicode(value: Any) -> Any:
    if isinstance(value, str):
        return old_text.unicode_of(value)
    if type(value) is dict:
        return {_in_unicode(k): _in_unicode(v) for k, v in value.items()}
    return [_in_unicode(v) for v in value] if type(value) is list else value


def _csv(module: Any) -> Names:
    class Lines:
        """A file for csv, which writes text only."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, line: str) -> None:
            old_text.write(self._file, line)

    class Writer:
        def __init__(self, file: Any, dialect: Any = "excel", **options: Any) -> None:
            self._writer = module.writer(Lines(file), dialect, **options)

        def writerow(self, row: Any) -> None:
            self._writer.writerow([_cell(v) for v in row])

        def writerows(self, rows: Any) -> None:
            for row in rows:
                self.writerow(row)

    class DictWriter(module.DictWriter):  # type: ignore[misc]
        def __init__(self, file: Any, fieldnames: Any, *arguments: Any, **options: Any) -> None:
            super().__init__(Lines(file), fieldnames, *arguments, **options)

        def _dict_to_list(self, row: Any) -> Any:
            return [_cell(v) for v in super()._dict_to_list(row)]

    def lines(file: Any) -> Any:
        return (text(line) for line in file)

    class DictReader(module.DictReader):  # type: ignore[misc]
        def __init__(self, file: Any, *arguments: Any, **options: Any) -> None:
            super().__init__(lines(file), *arguments, **options)

    def reader(file: Any, dialect: Any = "excel", **options: Any) -> Any:
        return _Rows(module.reader(lines(file), dialect, **options))

    return {"writer": Writer, "reader": reader, "DictWriter": DictWriter, "DictReader": DictReader}


class _Rows:
    """Rows of a reader, their cells byte strings."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> Any:
        return [plain(raw(cell)) if isinstance(cell, str) else cell for cell in next(self._rows)]

    next = __next__

    @property
    def line_num(self) -> int:
        """Lines read."""
        return int(self._rows.line_num)


def _cell(value: Any) -> Any:
    # csv wrote floats by their repr.
    return repr(float(value)) if isinstance(value, (float, np.floating)) else "" if value is None else text(
        old_text.str_of(value))  # fmt: skip


def _urllib() -> Names:
    import urllib.parse
    import urllib.request

    def urlencode(query: Any, doseq: int = 0) -> Any:
        pairs = query.items() if hasattr(query, "items") else query
        return urllib.parse.urlencode([(raw(old_text.str_of(k)), _value(v, doseq)) for k, v in pairs], bool(doseq))

    def _value(value: Any, doseq: int) -> Any:
        if doseq and isinstance(value, (list, tuple)):
            return [raw(old_text.str_of(v)) for v in value]
        return raw(value if old_text.is_unicode(value) else old_text.str_of(value))

    def urlopen(url: Any, data: Any = None, *arguments: Any, **options: Any) -> Any:
        return urllib.request.urlopen(text(url), raw(data), *arguments, **options)

    def unquote(value: Any) -> Any:
        return plain(urllib.parse.unquote_to_bytes(raw(value)))

    def quote(value: Any, safe: str = "/") -> str:
        return urllib.parse.quote(raw(value), safe)

    def quote_plus(value: Any, safe: str = "") -> str:
        return urllib.parse.quote_plus(raw(value), safe)

    return {
        "quote": quote, "quote_plus": quote_plus, "unquote": unquote, "urlencode": urlencode, "urlopen": urlopen,
        "unquote_plus": lambda value: unquote(text(value).replace("+", " ")),
        "urlretrieve": urllib.request.urlretrieve,
        "pathname2url": urllib.request.pathname2url, "url2pathname": urllib.request.url2pathname,
        "URLopener": getattr(urllib.request, "URLopener", urllib.request.OpenerDirector),
        "FancyURLopener": getattr(urllib.request, "FancyURLopener", urllib.request.OpenerDirector),
        "getproxies": urllib.request.getproxies, "splitquery": getattr(urllib.parse, "splitquery", None),
    }  # fmt: skip


def _urllib2() -> Any:
    import urllib.error
    import urllib.parse
    import urllib.request

    class Request(urllib.request.Request):
        """Takes text as the data to post."""

        def __init__(self, url: Any, data: Any = None, *arguments: Any, **options: Any) -> None:
            super().__init__(text(url), raw(data), *arguments, **options)

    names = {k: v for k, v in vars(urllib.error).items() if not k.startswith("_")}
    old_names = {k: _urllib()[k] for k in ("quote", "unquote", "urlopen")}
    parse = {k: v for k, v in vars(urllib.parse).items() if k in ("urlparse", "urlsplit", "urljoin", "splitport")}
    return Facade("urllib2", urllib.request, names | parse | old_names | {"Request": Request})


def _string_io() -> Any:
    module = types.ModuleType("StringIO")
    vars(module).update(StringIO=StringIO, InputType=StringIO, OutputType=StringIO)
    return module


def _pickle(module: Any) -> Names:
    def loads(data: Any) -> Any:
        return module.loads(raw(data) if isinstance(data, str) else data, encoding="latin1")

    def dumps(value: Any, protocol: int = 0) -> Any:
        return plain(module.dumps(value, protocol))

    return {
        "load": lambda file: loads(file.read()) if isinstance(file, StringIO) else module.load(file, encoding="latin1"),
        "loads": loads, "dumps": dumps,
        "dump": lambda value, file, protocol=0: file.write(module.dumps(value, protocol)),
    }  # fmt: skip


class BaseSet:
    """What the kinds of `sets` have in common."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({old_text.repr_of(list(self))})"  # type: ignore[call-overload]


class Set(BaseSet, set[Any]):
    """`sets.Set`."""


class ImmutableSet(BaseSet, frozenset[Any]):
    """`sets.ImmutableSet`."""


def _sets() -> Any:
    module = types.ModuleType("sets")
    vars(module).update(Set=Set, ImmutableSet=ImmutableSet, BaseSet=BaseSet)
    return module


def _digest(name: str) -> Callable[[], Any]:
    def maker() -> Any:
        import hashlib

        def new(data: Any = "") -> Any:
            return hashlib.new(name, raw(data))

        module = types.ModuleType(name)
        vars(module).update(new=new, digest_size=hashlib.new(name).digest_size, **{name.rstrip("1"): new})
        return module

    return maker


def _subprocess(module: Any) -> Names:
    class Popen(module.Popen):  # type: ignore[misc]
        """Takes text on standard input."""

        def communicate(self, input: Any = None, timeout: float | None = None) -> Any:
            return super().communicate(raw(input) if not self.text_mode else input, timeout)

    return {"Popen": Popen}


def _commands() -> Any:
    import subprocess

    def getstatusoutput(command: Any) -> tuple[int, Any]:
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        # The status is that of wait(2).
        code = done.returncode
        return code << 8 if code >= 0 else -code, plain(done.stdout.removesuffix(b"\n"))

    module = types.ModuleType("commands")
    vars(module).update(getstatusoutput=getstatusoutput, getoutput=lambda command: getstatusoutput(command)[1])
    return module


def _popen2() -> Any:
    import subprocess

    def popen(command: Any, merged: bool, separate: bool) -> Any:
        process = subprocess.Popen(
            command, shell=isinstance(command, str), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE if separate else None,
        )  # fmt: skip
        return (process.stdout, process.stdin, process.stderr) if separate else (process.stdout, process.stdin)

    module = types.ModuleType("popen2")
    vars(module).update(
        popen2=lambda command, *_: popen(command, False, False), popen3=lambda command, *_: popen(command, False, True),
        popen4=lambda command, *_: popen(command, True, False),
    )  # fmt: skip
    return module


def _checksums(module: Any) -> Names:
    """Checksums of 32 bits, which had a sign."""

    def signed(function: Any) -> Callable[..., int]:
        return lambda data, *start: (function(raw(data), *(v & 0xFFFFFFFF for v in start)) ^ 1 << 31) - (1 << 31)

    return {name: signed(getattr(module, name)) for name in ("crc32", "adler32") if hasattr(module, name)}


def _thread() -> Any:
    import _thread

    return Facade("thread", _thread, {"error": RuntimeError, "start_new": _thread.start_new_thread})


def _threading(module: Any) -> Names:
    return {"_Timer": module.Timer, "_Event": module.Event, "_RLock": module.RLock, "_Condition": module.Condition,
            "_Semaphore": module.Semaphore}  # fmt: skip


def _itertools(module: Any) -> Names:
    return {"izip": zip, "imap": _imap, "ifilter": filter, "izip_longest": module.zip_longest,
            "ifilterfalse": module.filterfalse}  # fmt: skip


def _imap(function: Any, *sequences: Any) -> Any:
    return map(function, *sequences) if function is not None else zip(*sequences, strict=False)


def _operator(module: Any) -> Names:
    def has(*names: str) -> Callable[[Any], bool]:
        return lambda value: all(hasattr(value, name) for name in names)

    return {
        "div": old_operators.divide, "idiv": old_operators.divide_in_place, "isCallable": callable,
        "isSequenceType": has("__getitem__", "__len__"), "isMappingType": has("__getitem__", "keys"),
        "isNumberType": has("__add__", "__mul__", "__abs__"), "sequenceIncludes": module.contains,
        "repeat": module.mul, "delslice": lambda a, i, j: module.delitem(a, slice(i, j)),
    }  # fmt: skip


def _types(module: Any) -> Names:
    class ClassType(type):
        """Old classes; there are none here."""

    return {
        "StringType": str, "UnicodeType": OldUnicode, "StringTypes": (str, OldUnicode), "IntType": int,
        "FloatType": float, "ListType": list, "DictType": dict, "DictionaryType": dict, "TupleType": tuple,
        "LongType": old_text.Long, "BooleanType": bool, "NoneType": type(None), "ComplexType": complex,
        "ClassType": ClassType, "InstanceType": object, "TypeType": type, "ObjectType": object, "SliceType": slice,
        "UnboundMethodType": module.FunctionType, "XRangeType": range, "FileType": type(sys.__stdout__),
        "EllipsisType": type(...), "NotImplementedType": type(NotImplemented), "BufferType": memoryview,
    }  # fmt: skip


def _os(module: Any) -> Names:
    def walk(top: Any, visit: Any, argument: Any) -> None:
        names = module.listdir(top)
        visit(argument, top, names)
        for name in names:
            path = module.path.join(top, name)
            if module.path.isdir(path) and not module.path.islink(path):
                walk(path, visit, argument)

    def popen3(command: str) -> Any:
        out, into, err = _popen2().popen3(command)
        return into, out, err

    return {"getcwdu": module.getcwd, "path": Facade("os.path", module.path, {"walk": walk}), "errno":
            importlib.import_module("errno"), "popen2": lambda c: _popen2().popen2(c)[::-1], "popen3": popen3,
            "tmpnam": lambda: importlib.import_module("tempfile").mktemp()}  # fmt: skip


def _sys(module: Any) -> Names:
    nothing = lambda *_: None  # noqa: E731
    return {"maxint": module.maxsize, "setdefaultencoding": nothing, "exc_clear": nothing,
            "subversion": ("CPython", "", ""), "py3kwarning": False, "long_info": module.int_info,
            "getdefaultencoding": lambda: "ascii", "maxunicode": module.maxunicode}  # fmt: skip


def _config_parser() -> Any:
    import configparser

    class ConfigParser(configparser.ConfigParser):
        """Reads files of either kind."""

        def __init__(self, defaults: Any = None, *arguments: Any, **options: Any) -> None:
            super().__init__(defaults, *arguments, strict=False, **options)

        def readfp(self, file: Any, filename: str | None = None) -> None:
            self.read_file((text(line) for line in file), filename or "<???>")

        def set(self, section: str, option: str, value: Any = None) -> None:
            super().set(section, option, None if value is None else text(old_text.str_of(value)))

        def get(  # type: ignore[override]
            self, section: str, option: str, raw: Any = False, vars: Any = None, **named: Any
        ) -> Any:
            return old(super().get(section, option, raw=bool(raw), vars=vars, **named))

        def write(self, file: Any, space_around_delimiters: bool = True) -> None:
            import io

            lines = io.StringIO()
            super().write(lines, space_around_delimiters)
            old_text.write(file, lines.getvalue())

    class RawConfigParser(ConfigParser):
        _DEFAULT_INTERPOLATION = configparser.Interpolation()

    names = {"ConfigParser": ConfigParser, "SafeConfigParser": ConfigParser, "RawConfigParser": RawConfigParser}
    return Facade("ConfigParser", configparser, names)


def _future_builtins() -> Any:
    module = types.ModuleType("future_builtins")
    vars(module).update(map=map, filter=filter, zip=zip, hex=hex, oct=oct, ascii=ascii)
    return module


def _alias(real: str, **names: Any) -> Callable[[], Any]:
    return lambda: Facade(real, importlib.import_module(real), names) if names else importlib.import_module(real)


_EMAIL = {
    "MIMEText": "email.mime.text", "MIMEMultipart": "email.mime.multipart", "MIMEBase": "email.mime.base",
    "MIMEImage": "email.mime.image", "MIMEAudio": "email.mime.audio", "Utils": "email.utils",
    "Encoders": "email.encoders", "Header": "email.header", "Message": "email.message", "Parser": "email.parser",
    "Errors": "email.errors", "Generator": "email.generator",
}  # fmt: skip


def _email(name: str) -> Any:
    if name in _EMAIL:
        return importlib.import_module(_EMAIL[name])
    raise AttributeError(f"module 'email' has no attribute {name!r}")


_OLD: dict[str, Callable[[], Any]] = {
    "string": _facade("string", _string), "json": _facade("json", _json), "csv": _facade("csv", _csv),
    "simplejson": _facade("json", _json), "os": _facade("os", _os), "sys": _facade("sys", _sys),
    "os.path": lambda: _facade("os", _os)().path,
    "zlib": _facade("zlib", _checksums), "binascii": _facade("binascii", _checksums),
    "subprocess": _facade("subprocess", _subprocess), "threading": _facade("threading", _threading),
    "itertools": _facade("itertools", _itertools), "operator": _facade("operator", _operator),
    "types": _facade("types", _types), "pickle": _facade("pickle", _pickle), "cPickle": _facade("pickle", _pickle),
    "urllib": lambda: Facade("urllib", importlib.import_module("urllib.request") and sys.modules["urllib"], _urllib()),
    "urllib2": _urllib2, "urlparse": _alias("urllib.parse"), "Queue": _alias("queue"), "StringIO": _string_io,
    "cStringIO": _string_io, "ConfigParser": _config_parser, "httplib": _alias("http.client"), "thread": _thread,
    "Cookie": _alias("http.cookies"), "cookielib": _alias("http.cookiejar"), "HTMLParser": _alias("html.parser"),
    "htmlentitydefs": _alias("html.entities"), "SocketServer": _alias("socketserver"),
    "BaseHTTPServer": _alias("http.server"), "SimpleHTTPServer": _alias("http.server"),
    "CGIHTTPServer": _alias("http.server"), "xmlrpclib": _alias("xmlrpc.client"),
    "SimpleXMLRPCServer": _alias("xmlrpc.server"), "DocXMLRPCServer": _alias("xmlrpc.server"),
    "__builtin__": _alias("builtins"), "exceptions": _alias("builtins", StandardError=Exception),
    "copy_reg": _alias("copyreg"), "repr": _alias("reprlib"), "commands": _commands, "popen2": _popen2,
    "md5": _digest("md5"), "sha": _digest("sha1"), "sets": _sets, "future_builtins": _future_builtins,
    "UserDict": _alias("collections", IterableUserDict=importlib.import_module("collections").UserDict,
                       DictMixin=importlib.import_module("collections.abc").MutableMapping),
    "UserList": _alias("collections"), "UserString": _alias("collections"),
    "dummy_thread": _thread, "dummy_threading": _facade("threading", _threading), "anydbm": _alias("dbm"),
    "whichdb": _alias("dbm"), "gdbm": _alias("dbm.gnu"), "robotparser": _alias("urllib.robotparser"),
    "cElementTree": _alias("xml.etree.ElementTree"),
    "math": _facade("math", lambda m: {"floor": lambda x: float(m.floor(x)), "ceil": lambda x: float(m.ceil(x))}),
    "email": lambda: Facade("email", importlib.import_module("email"), {}, _email),
    **{f"email.{name}": _alias(real) for name, real in _EMAIL.items()},
}  # fmt: skip


class StringIO(__import__("io").BytesIO):  # type: ignore[misc]
    """`StringIO` of Python 2: a file of byte strings that takes text as well."""

    def __init__(self, data: Any = "") -> None:
        super().__init__(raw(data) if isinstance(data, str) else data)

    def write(self, data: Any) -> int:
        """Write text or bytes."""
        return int(super().write(raw(data) if isinstance(data, str) else data))

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __next__(self) -> Any:
        return plain(super().__next__())

    @property
    def buf(self) -> Any:
        """What it holds."""
        return plain(self.getvalue())

    @property
    def len(self) -> int:
        """Its length in bytes."""
        return len(self.getvalue())

    @property
    def pos(self) -> int:
        """Where the next read begins."""
        return int(self.tell())
