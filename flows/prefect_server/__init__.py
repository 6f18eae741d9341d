"""Prefect's server is told of a run: the user's own, or one that is started."""
