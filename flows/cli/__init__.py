"""The command ``spinenet``, a module for each command; imports nothing heavy before a command runs."""

from flows.cli.app import main

__all__ = ["main"]
