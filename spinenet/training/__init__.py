"""Trains the four networks on synthetic spines: ``python -m spinenet.training --help``."""
