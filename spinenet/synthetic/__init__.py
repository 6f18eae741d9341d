"""Drawn spines, as images and as DICOM, with their truth."""
