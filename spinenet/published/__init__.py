"""The interface of the published package: its class, its functions and its dicts."""
