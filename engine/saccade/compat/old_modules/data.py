"""Values written and read: `json`, `csv`, `ConfigParser`, `pickle`, and their digests and checksums."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import numpy as np

from saccade.compat import old_text
from saccade.compat.old_modules.facade import Facade, Maker, Names, new_module
from saccade.compat.old_modules.strings import StringIO
from saccade.compat.old_text import old, plain, raw, text


def json_names(module: Any) -> Names:
    """JSON of either kind of text, with NumPy's numbers, written as it was."""

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


def csv_names(module: Any) -> Names:
    """Readers and writers of files of bytes."""

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


def config_parser_module() -> Any:
    """`ConfigParser`, of files of bytes."""
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


def pickle_names(module: Any) -> Names:
    """Pickles of 2.7, whose byte strings are read one character a byte."""

    def loads(data: Any) -> Any:
        return module.loads(raw(data) if isinstance(data, str) else data, encoding="latin1")

    def dumps(value: Any, protocol: int = 0) -> Any:
        return plain(module.dumps(value, protocol))

    return {
        "load": lambda file: loads(file.read()) if isinstance(file, StringIO) else module.load(file, encoding="latin1"),
        "loads": loads, "dumps": dumps,
        "dump": lambda value, file, protocol=0: file.write(module.dumps(value, protocol)),
    }  # fmt: skip


def digest_module(name: str) -> Maker:
    """`md5` or `sha`."""

    def maker() -> Any:
        import hashlib

        def new(data: Any = "") -> Any:
            return hashlib.new(name, raw(data))

        return new_module(name, new=new, digest_size=hashlib.new(name).digest_size, **{name.rstrip("1"): new})

    return maker


def checksum_names(module: Any) -> Names:
    """Checksums of 32 bits, which had a sign."""

    def signed(function: Any) -> Callable[..., int]:
        return lambda data, *start: (function(raw(data), *(v & 0xFFFFFFFF for v in start)) ^ 1 << 31) - (1 << 31)

    return {name: signed(getattr(module, name)) for name in ("crc32", "adler32") if hasattr(module, name)}
