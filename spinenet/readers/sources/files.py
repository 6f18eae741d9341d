"""A path becomes the bytes of its files: one listing, then one fetch."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations
from fsspec.utils import get_protocol

from spinenet.errors import ScanError
from spinenet.readers.sources.archives import members
from spinenet.readers.sources.limits import check_total
from spinenet.readers.volumes.images import is_image
from spinenet.storage import Retries
from spinenet.storage.addresses import open_address
from spinenet.storage.causes import scan_error

MAX_DEPTH = 16
"""Levels of folders that are searched below a path."""

ARCHIVES = (*(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),)
"""Endings of archives, which in a folder are paths of their own."""

OTHER = (
    *(".json", ".txt", ".csv", ".tsv", ".pdf", ".xml", ".html", ".htm", ".jpg", ".jpeg", ".png", ".gif"),
    *(".bmp", ".tif", ".tiff", ".md", ".log", ".bval", ".bvec", ".dll", ".inf", ".ini", ".py"),
    *(".raw", ".zraw", ".sh", ".mat", ".parquet", ".doc", ".docx", ".xls", ".xlsx", ".mp4", ".avi"),
    *(".js", ".css"),
)
"""Endings of files that are no image, and are not opened where a folder holds anything else."""

BESIDE = (".json", ".raw", ".zraw")
"""Endings of those of them that may belong to an image."""

_T = TypeVar("_T")
_SINGLE_FILE_SUFFIXES = (".zip", ".tar", ".tgz", ".nii", ".gz", ".dcm", ".ima")
_REMOTE = frozenset(known_implementations) - {"file", "local"}
_RETRIES = Retries()
"""Of the whole process: a store that answered before is waited for longer."""


def is_hidden(name: str) -> bool:
    """Whether a file's or folder's own name begins with a dot: such are passed over below any path."""
    return posixpath.basename(name.rstrip("/")).startswith(".")


def is_archive_name(name: str) -> bool:
    """Whether a file's name is one of an archive."""
    return name.lower().endswith(ARCHIVES)


def opened_in_folder(names: Iterable[str]) -> set[str]:
    """Those of a folder's files that are opened: archives and files that are no image are so only alone."""
    every = set(names)
    likely = {name for name in every if not name.lower().endswith((*ARCHIVES, *OTHER))}
    if any(map(is_image, likely)):
        likely |= {name for name in every if name.lower().endswith(BESIDE)}
    return likely or every


@dataclass(frozen=True)
class Fetched:
    """What a path holds.

    Attributes
    ----------
    files
        Bytes by name; none for files that are passed over by their names, see :func:`opened_in_folder`. Names
        may hold a person's name, so they belong in no message.
    archive
        Whether they are an archive's.
    """

    files: dict[str, bytes]
    archive: bool = False


def fetch(path: str, storage_options: Mapping[str, Any] | None = None) -> Fetched:
    """Read every file that a path stands for.

    Parameters
    ----------
    path
        A folder (searched recursively), a file, a zip or tar archive or a glob, at any fsspec URL.
    storage_options
        Passed to the filesystem.

    Raises
    ------
    ScanError
        path_missing, no_files, permission_denied, storage_failed, too_large or unreadable; of an archive, as
        :func:`spinenet.readers.sources.archives.members`.
    """
    fs, sizes, passed_over = list_files(path, storage_options)
    if not sizes:
        raise ScanError("no_files", "the path holds no files")
    check_total(len(sizes), sum(sizes.values()))
    contents = _guarded(lambda: _cat(fs, list(sizes)), path)
    # sizes are what the listing said, and some servers say nothing
    check_total(len(contents), sum(map(len, contents.values())))
    if len(contents) == 1:
        ((name, only),) = contents.items()
        held = None if is_image(name) else members(only)
        if held is not None:
            kept = opened_in_folder(held)
            return Fetched({name: data if name in kept else b"" for name, data in held.items()}, archive=True)
    return Fetched(contents | dict.fromkeys(passed_over, b""))


def fetch_beside(
    path: str, names: Sequence[str], storage_options: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Read those of some files that there are, on the filesystem of a path.

    Parameters
    ----------
    names
        In the filesystem's own spelling.

    Raises
    ------
    ScanError
        permission_denied or unreadable.
    """

    def there() -> dict[str, bytes]:
        fs, _ = open_address(path, **dict(storage_options or {}))
        found = {}
        for name in names:
            try:
                found[name] = bytes(fs.cat_file(name))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
        return found

    return _guarded(there, path)


def list_files(
    path: str, storage_options: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, int], set[str]]:
    """What a path stands for, without opening it.

    Returns
    -------
    tuple
        (filesystem, bytes by name of the files that are opened, names of the others).

    Raises
    ------
    ScanError
        As :func:`fetch`, but for the content of files.
    """
    fs, root = _guarded(lambda: open_address(path, **dict(storage_options or {})), path)
    sizes = _guarded(lambda: _listing(fs, root), path)
    opened = opened_in_folder(sizes)
    return fs, {name: size for name, size in sizes.items() if name in opened}, set(sizes) - opened


def _guarded(action: Callable[[], _T], path: str) -> _T:
    """Turn what a filesystem may raise into a reason; its own text may name people's folders."""
    try:
        return _RETRIES.call(action)
    except ScanError:
        raise
    except ImportError:
        detail = f"a package for {get_protocol(path)}:// is not installed; see the extras of spinenet"
        raise ScanError("package_missing", detail) from None
    except Exception as error:
        name = type(error).__name__
        known = scan_error(error)
        if known is None and isinstance(error, ValueError) and get_protocol(path) not in _REMOTE:
            known = ScanError("unreadable", f"the path cannot be opened ({name})")
        raise known or ScanError("storage_failed", f"storage failed ({name})") from None


def _listing(fs: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    """Size by name of the files that ``root`` stands for; raises what the filesystem raises."""
    if root.lower().endswith(_SINGLE_FILE_SUFFIXES):
        # a listing of a file costs a web server the whole file
        try:
            info = fs.info(root)
        except FileNotFoundError:
            info = {"type": "directory"}
        if info["type"] == "file":
            return {root: info.get("size") or 0}
    if any(mark in root for mark in "*?[") and not fs.exists(root):
        found = fs.glob(root, detail=True)
        if not found:
            raise FileNotFoundError
        wanted = posixpath.basename(root).startswith(".")
        found = {name: info for name, info in found.items() if wanted or not is_hidden(name)}
        # what lies directly in a folder is said by its files, and not by the folders beside them
        sizes = _sizes(fs, found)
        if not sizes:
            for name, info in found.items():
                sizes |= _below(fs, name) if info["type"] == "directory" else {}
        return sizes
    return _below(fs, root)


def _below(fs: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    # other filesystems raise of themselves; the local one would leave out what it may not list
    strict = {"on_error": "raise"} if isinstance(fs, LocalFileSystem) and fs.isdir(root) else {}
    found = fs.find(root, maxdepth=MAX_DEPTH, detail=True, **strict)
    if not found:
        fs.ls(root)
    start = len(root.rstrip("/"))
    seen = {name: info for name, info in found.items() if not any(map(is_hidden, name[start:].split("/")))}
    return _sizes(fs, {name: info or fs.info(name) for name, info in seen.items()})


def _sizes(fs: fsspec.AbstractFileSystem, found: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Plain files only: a pipe or a device would never end. Links that lead to nothing are no files."""
    sizes = {}
    lost = False
    for name, listed in found.items():
        try:
            info = fs.info(name) if listed.get("islink") else listed
        except OSError:
            if not listed.get("islink"):
                raise
            lost = True
            continue
        if info["type"] == "file":
            sizes[name] = int(info.get("size") or 0)
    if lost and not sizes:
        raise FileNotFoundError
    return sizes


def _cat(fs: fsspec.AbstractFileSystem, names: Iterable[str]) -> dict[str, bytes]:
    # cat expands globs, so a name that merely looks like one is read by itself
    plain = [name for name in names if not any(mark in name for mark in "*?[")]
    contents: dict[str, bytes] = dict(fs.cat(plain)) if plain else {}
    for name in names:
        if name not in contents:
            contents[name] = fs.cat_file(name)
    return contents
