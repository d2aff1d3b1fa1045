"""Build of the compiled kernels; all other metadata is in pyproject.toml."""

from setuptools import setup

setup()
