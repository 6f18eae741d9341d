"""Reads the bytes of a path: files and archives, within limits."""
