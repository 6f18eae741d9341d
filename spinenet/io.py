"""Reading and writing scans under the published package's import path; see :mod:`spinenet.published.io`."""

from spinenet.published.io import (
    SpinalScan,
    download,
    download_weights,
    load_dicoms,
    load_dicoms_from_folder,
    save_slices_to_csv,
    save_vert_dicts_to_csv,
)

__all__ = [
    "SpinalScan",
    "download",
    "download_weights",
    "load_dicoms",
    "load_dicoms_from_folder",
    "save_slices_to_csv",
    "save_vert_dicts_to_csv",
]
