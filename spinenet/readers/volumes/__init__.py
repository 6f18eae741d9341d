"""Files that hold a whole volume become one Scan: NIfTI and MetaImage."""
