"""The variables `SACCADE_*`: which there are beside those of the options, and those that are none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from saccade.config.option import options_of
from saccade.config.run import RunConfig
from saccade.config.suggest import nearest
from saccade.errors import ConfigError

_PREFIX = "SACCADE_"

OTHERS: Mapping[str, str] = {
    "SACCADE_CONFIG": "TOML file with options; `--config` wins",
    "SACCADE_CACHE": "folder for downloads and compiled models",
    "SACCADE_KERNELS": "forces the kernels: native, numba, or one variant",
    "SACCADE_DEBUG": "1 shows a traceback where the command line would print one line",
}
"""Variables that are no option of a command, with their meaning."""

BUILDING = (
    "BOUNDS_CHECK", "SANITIZE", "CORPUS", "EMULATED", "EXAMPLES", "EXHAUSTIVE", "FUZZ", "KILLS", "LOAD", "NO_SKIPS",
    "ORIGINAL", "RECIPE", "SCREENSHOT", "SEED", "SOAK", "TEST", "TRY",
)  # fmt: skip
"""How those of the build, the tests and the benchmarks go on behind SACCADE_."""


@lru_cache(1)
def known() -> frozenset[str]:
    """Every variable that means something."""
    # Only where there are any: a start need not pay for the declarations of other commands.
    from saccade.config.commands import ScriptConfig, ServeConfig

    kinds = (RunConfig, ServeConfig, ScriptConfig)
    return frozenset(OTHERS) | {option.variable for kind in kinds for option in options_of(kind).values()}


def check_variables(environ: Iterable[str]) -> None:
    """Raise ConfigError for the first variable of ours that means nothing."""
    for name in sorted(environ):
        plain = name.removeprefix(_PREFIX)
        if not name.startswith(_PREFIX) or plain.startswith(BUILDING) or name in OTHERS:
            continue
        if plain.lower() not in options_of(RunConfig) and name not in known():
            near = nearest(plain, (each.removeprefix(_PREFIX) for each in known()))
            hint = f"; did you mean {_PREFIX}{near}?" if near else "; `saccade config show --all` lists those there are"
            raise ConfigError(f"environment variable {name}: there is no such setting{hint}")
