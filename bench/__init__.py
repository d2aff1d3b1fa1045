"""Benchmarks: every claim about speed is a ratio to a reference in the same process, with its check inside."""
