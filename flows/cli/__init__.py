"""The command ``spinenet``, a module for each command; imports nothing heavy before a command runs."""

from __future__ import annotations

import sys

import spinenet_cohort

__all__ = ["main"]


def main() -> None:
    """Run the command; see :func:`flows.cli.app.main`."""
    try:
        # before any import of the package, whose name another project uses too
        spinenet_cohort.check_alone()
    except ImportError as error:
        sys.exit(f"spinenet: {error}")
    from flows.cli.app import main as run_command

    run_command()
