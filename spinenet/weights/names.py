"""The built-in names of weights; imports nothing, so that the command's help starts at once."""

PUBLISHED = "spinenet-v2"
"""Name of the published weights, which are fetched on request only."""
SYNTHETIC = "synthetic"
"""Name of the small weights inside the package, trained on synthetic spines."""
OPEN = "open"
"""Name of the small weights inside the package, trained on drawn spines and on real lumbar ones."""
PACKAGED: tuple[str, ...] = (OPEN, SYNTHETIC)
"""Those that are inside the package."""
NAMES: tuple[str, ...] = (PUBLISHED, *PACKAGED)
"""All built-in names."""
