"""Pillow as scripts of its versions 1 to 9 know it: the constants and the text sizes that later ones have dropped."""

from __future__ import annotations

import functools
from typing import Any

from saccade.compat.old_modules import Modules, Names
from saccade.compat.old_python import Report

_RESAMPLING = {"ANTIALIAS": "LANCZOS", "LINEAR": "BILINEAR", "CUBIC": "BICUBIC"}
_FONTS = ("load", "truetype", "load_path", "load_default")
_PARTS = ("Image", "ImageDraw", "ImageFont")


def adapt(modules: Modules, report: Report, version: int) -> None:
    """Change what a script imports. version : the script's Python; in 2 the modules had no package yet."""
    modules.layer("PIL.Image", lambda module: _image(module, report))
    modules.layer("PIL.ImageDraw", lambda module: {"Draw": _draw(module, report)})
    modules.layer(
        "PIL.ImageFont",
        lambda module: {name: _font(getattr(module, name), report) for name in _FONTS if hasattr(module, name)},
    )
    modules.layer("PIL", lambda _: {name: modules.module(f"PIL.{name}") for name in _PARTS})
    if version == 2:
        modules.add({name: functools.partial(modules.module, f"PIL.{name}") for name in _PARTS})


def _image(module: Any, report: Report) -> Names:
    names: dict[str, Any] = {
        old: getattr(module.Resampling, new) for old, new in _RESAMPLING.items() if not hasattr(module, old)
    }

    def fromstring(mode: str, size: Any, data: Any, *arguments: Any) -> Any:
        report.note("PIL.Image.fromstring is frombytes now")
        return module.frombytes(mode, size, data.encode("latin-1") if isinstance(data, str) else data, *arguments)

    return names if hasattr(module, "fromstring") else names | {"fromstring": fromstring}


def _draw(module: Any, report: Report) -> Any:
    @functools.wraps(module.Draw)
    def draw(*arguments: Any, **options: Any) -> Any:
        made = module.Draw(*arguments, **options)

        def textsize(text: Any, font: Any = None, spacing: float = 4, *_: Any, **__: Any) -> tuple[int, int]:
            report.note("ImageDraw.textsize goes by the boxes of the text's lines")
            return _size_of_lines(font or made.getfont(), text, spacing)

        if not hasattr(made, "textsize"):
            made.textsize = made.multiline_textsize = textsize
        return made

    return draw


def _font(function: Any, report: Report) -> Any:
    @functools.wraps(function)
    def load(*arguments: Any, **options: Any) -> Any:
        made = function(*arguments, **options)

        def getsize(text: Any, *_: Any, **__: Any) -> tuple[int, int]:
            report.note("ImageFont.getsize goes by the box of the text")
            return _size(made, text)

        def getsize_multiline(
            text: Any, direction: Any = None, spacing: float = 4, *_: Any, **__: Any
        ) -> tuple[int, int]:
            report.note("ImageFont.getsize goes by the box of the text")
            return _size_of_lines(made, text, spacing)

        if not hasattr(made, "getsize"):
            made.getsize, made.getsize_multiline = getsize, getsize_multiline
            made.getoffset = lambda text: tuple(int(value) for value in made.getbbox(text)[:2])
        return made

    return load


def _size(font: Any, text: Any) -> tuple[int, int]:
    """Width and height of a line, px, the height from the line's top, as it was until version 9."""
    left, _, right, bottom = font.getbbox(text)
    return int(right - left), int(bottom)


def _size_of_lines(font: Any, text: Any, spacing: float) -> tuple[int, int]:
    """Width and height of a text of any number of lines, px; spacing : between two lines, px."""
    sizes = [_size(font, line) for line in text.split(b"\n" if isinstance(text, bytes) else "\n")]
    if len(sizes) == 1:
        return sizes[0]
    height = _size(font, "A")[1] + spacing
    return max(width for width, _ in sizes), int(len(sizes) * height - spacing)
