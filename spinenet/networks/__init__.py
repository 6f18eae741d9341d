"""The four networks: their layers and shapes, and nothing of files."""
