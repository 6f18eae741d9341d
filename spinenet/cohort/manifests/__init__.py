"""Manifests: files of rows become checked entries."""
