"""Reads files that hold a whole volume: NIfTI and MetaImage."""
