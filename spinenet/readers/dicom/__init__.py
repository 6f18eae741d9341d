"""DICOM files become one Scan: tags, series, pixels."""
