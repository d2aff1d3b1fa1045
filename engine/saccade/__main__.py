"""`python -m saccade` is the `saccade` command."""

from saccade.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
