"""Reads manifests: files of rows become checked entries."""
