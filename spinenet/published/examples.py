"""Downloads the published example scans, which appear complete or not at all."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from spinenet.errors import WeightsError
from spinenet.published.two_names import one_of
from spinenet.storage.disk import move_folder
from spinenet.weights.downloads import download, forget, storage_errors
from spinenet.weights.release import PUBLISHER_URL

EXAMPLE_SCANS_URL = f"{PUBLISHER_URL}/example_scans"
EXAMPLE_SCANS = ("t2_lumbar_scan_1", "t2_lumbar_scan_2", "stir_whole_spine", "t2_whole_spine")
"""Names of the published example scans."""

_LEFTOVERS = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
"""Names that archiving programs and file managers add to a folder's files."""


def download_example_scan(
    example_scan_name: str | None = None,
    file_path: str | os.PathLike[str] = ".",
    *,
    name: str | None = None,
    base_url: str | None = None,
) -> Path:
    """Download one of the published example scans.

    Parameters
    ----------
    example_scan_name
        One of :data:`EXAMPLE_SCANS`.
    file_path
        Folder in which the scan's folder, of the same name, is made; by default the current one.
    name
        Synonym of ``example_scan_name``.
    base_url
        URL of a mirror; by default the publisher's own site.

    Returns
    -------
    Path
        Folder of the scan's DICOM files.

    Raises
    ------
    ValueError
        There is no scan of that name.
    WeightsError
        One sentence for any other failure.

    Examples
    --------
    >>> mirror = Path("mirror").resolve().as_uri()
    >>> folder = spinenet.download_example_scan("t2_lumbar_scan_1", "scans", base_url=mirror)
    >>> spinenet.io.load_dicoms_from_folder(folder).volume.ndim
    3
    """
    name = one_of("example_scan_name", example_scan_name, "name", name)
    if name not in EXAMPLE_SCANS:
        raise ValueError(f"there is no example scan {name!r}; there are {', '.join(EXAMPLE_SCANS)}")
    folder = Path(file_path)
    target, archive, unpacked = folder / name, folder / f"{name}.zip", folder / f".{name}.part"
    download(f"{(base_url or EXAMPLE_SCANS_URL).rstrip('/')}/{name}.zip", archive)
    try:
        with storage_errors(target), zipfile.ZipFile(archive) as contents:
            shutil.rmtree(unpacked, ignore_errors=True)
            contents.extractall(unpacked)
            _drop_leftovers(unpacked)
            # an archive holds the files directly, or within a folder of the scan's name
            source = unpacked / name if [item.name for item in unpacked.iterdir()] == [name] else unpacked
            move_folder(source, target)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"What was served for {name} is no zip archive.") from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
        forget(archive)
    return target


def _drop_leftovers(folder: Path) -> None:
    """Remove what an archiving program added, such as ``._`` files, whose names end like those of slices."""
    for item in sorted(folder.rglob("*"), reverse=True):
        if item.name in _LEFTOVERS or item.name.startswith("._"):
            shutil.rmtree(item) if item.is_dir() else item.unlink()
