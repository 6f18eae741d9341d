"""Reads a path as one scan, or gives the reason why that fails."""
