"""The built-in names of weights; imports nothing, so that the command's help starts at once."""

PUBLISHED = "spinenet-v2"
"""Name of the published weights, which are fetched on request only."""
SYNTHETIC = "synthetic"
"""Name of the small weights inside the package, trained on synthetic spines."""
NAMES: tuple[str, ...] = (PUBLISHED, SYNTHETIC)
"""All built-in names."""
