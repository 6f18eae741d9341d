"""Reads DICOM files as one Scan: tags, series, pixels."""
