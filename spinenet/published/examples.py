"""The published example scans: fetched, unpacked, put in place whole."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from spinenet.errors import WeightsError
from spinenet.published.two_names import one_of
from spinenet.storage.disk import move_folder
from spinenet.weights.downloads import download, forget, storage_errors

EXAMPLE_SCANS_URL = "https://www.robots.ox.ac.uk/~vgg/research/spinenet/example_scans"
EXAMPLE_SCANS = ("t2_lumbar_scan_1", "t2_lumbar_scan_2", "stir_whole_spine", "t2_whole_spine")


_OF_THE_ARCHIVER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
"""What the programs that pack a folder leave in the archive beside its files."""


def download_example_scan(
    example_scan_name: str | None = None,
    file_path: str | os.PathLike[str] = ".",
    *,
    name: str | None = None,
    base_url: str | None = None,
) -> Path:
    """Fetch one of the published example scans.

    Parameters
    ----------
    example_scan_name
        One of :data:`EXAMPLE_SCANS`; ``name`` is another name for it.
    file_path
        Folder in which a folder of that name is made; by default the current one.
    base_url
        A mirror; by default the publisher's own site.

    Returns
    -------
    Path
        Folder of the scan's DICOM files.

    Raises
    ------
    ValueError
        If there is no scan of that name.
    WeightsError
        One sentence for whatever else went wrong.
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
            # The archive may hold the files, or one folder of the scan's name that holds them.
            source = unpacked / name if [item.name for item in unpacked.iterdir()] == [name] else unpacked
            move_folder(source, target)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"What was served for {name} is no zip archive.") from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
        forget(archive)
    return target


def _drop_leftovers(folder: Path) -> None:
    """Remove what an archiver added: folders of resource forks, and ``._`` files named like slices."""
    for item in sorted(folder.rglob("*"), reverse=True):
        if item.name in _OF_THE_ARCHIVER or item.name.startswith("._"):
            shutil.rmtree(item) if item.is_dir() else item.unlink()
