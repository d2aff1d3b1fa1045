"""Benchmarks: every claim about speed is a ratio to a reference in the same process, with its check inside."""

import saccade  # noqa: F401  # before OpenVINO, which then reports to nobody
