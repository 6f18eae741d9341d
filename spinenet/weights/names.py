"""The names of weights that are known without asking anyone; imports nothing."""

PUBLISHED = "spinenet-v2"
"""The published weights, fetched on request only."""
SYNTHETIC = "synthetic"
"""The small weights inside the package, trained on drawn spines."""
NAMES: tuple[str, ...] = (PUBLISHED, SYNTHETIC)
