"""Finds, names and grades vertebrae and discs in sagittal spinal MRI."""

__version__ = "0.1.0"
