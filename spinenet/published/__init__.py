"""The published package's face: its class, its functions, its dicts."""
