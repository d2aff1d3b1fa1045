"""The short run of the fuzzer; `fuzz.py` says how to start the long one."""

from __future__ import annotations

from .fuzz import run


def test_mutations_are_read_or_refused() -> None:
    findings = run(600, compile_every=25)
    assert findings.bad == []
    assert sum(findings.outcomes.values()) == 600
    assert findings.outcomes["refused"] > 100
    assert findings.outcomes["read"] > 50
