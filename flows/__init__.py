"""Prefect flows over spinenet, and the command line."""
