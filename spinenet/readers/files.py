"""A path becomes the bytes of its files: one listing, then one fetch; archives are opened in memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, TypeVar

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from spinenet.errors import ScanError

MAX_FILES = 20_000
"""Files of one path, or members of one archive."""

MAX_BYTES = 2 << 30
"""Bytes of one path together, after unpacking."""

MAX_DEPTH = 16
"""Levels of folders that are searched below a path."""

_T = TypeVar("_T")
_SINGLE_FILE_SUFFIXES = (".zip", ".nii", ".gz", ".dcm", ".ima")
_ZIP_MAGIC = b"PK\x03\x04"
_REFUSED = ("NoCredentialsError", "PartialCredentialsError", "ClientAuthenticationError")


def fetch(path: str, storage_options: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Read every file that a path stands for.

    Parameters
    ----------
    path
        A folder (searched recursively), a file, a zip archive or a glob, at any fsspec URL.
    storage_options
        Passed to the filesystem.

    Returns
    -------
    dict
        Bytes by name. Names may hold a person's name, so they belong in no message.

    Raises
    ------
    ScanError
        path_missing, no_files, permission_denied, too_large or unreadable.
    """
    fs, root = _guarded(lambda: url_to_fs(path, **dict(storage_options or {})), path)
    sizes = _guarded(lambda: _listing(fs, root), path)
    if not sizes:
        raise ScanError("no_files", "the path holds no files")
    _check_total(len(sizes), sum(sizes.values()))
    contents = _guarded(lambda: _cat(fs, list(sizes)), path)
    # sizes are what the listing said, and some servers say nothing
    _check_total(len(contents), sum(map(len, contents.values())))
    if len(contents) == 1:
        (only,) = contents.values()
        if only.startswith(_ZIP_MAGIC):
            return unzip(only)
    return contents


def unzip(data: bytes) -> dict[str, bytes]:
    """Read every member of a zip archive, within the limits of this module.

    Raises
    ------
    ScanError
        too_large for an archive bomb; unreadable for one that is broken, encrypted, or has a member
        whose path points outside it; no_files.
    """
    contents: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check_total(len(members), sum(member.file_size for member in members))
            for member in members:
                if _points_outside(member.filename):
                    raise ScanError("unreadable", "a member of the archive has a path outside the archive")
                if member.flag_bits & 1:
                    raise ScanError("unreadable", "the archive is encrypted")
                # a member yields no more than the size it declares, which the check above has summed
                contents[member.filename] = archive.read(member)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError) as error:
        if isinstance(error, ScanError):
            raise
        raise ScanError("unreadable", f"the archive is broken ({type(error).__name__})") from None
    if not contents:
        raise ScanError("no_files", "the archive holds no files")
    return contents


def gunzip(data: bytes) -> bytes:
    """Decompress gzip'd bytes to at most :data:`MAX_BYTES`.

    Raises
    ------
    ScanError
        too_large or unreadable.
    """
    return inflate(data, wbits=31)


def inflate(data: bytes, wbits: int) -> bytes:
    """Decompress a zlib stream (``wbits`` as in :mod:`zlib`) to at most :data:`MAX_BYTES`.

    Raises
    ------
    ScanError
        too_large or unreadable.
    """
    stream = zlib.decompressobj(wbits)
    try:
        inflated = stream.decompress(data, MAX_BYTES)
    except zlib.error:
        raise ScanError("unreadable", "the compressed file is broken") from None
    if stream.unconsumed_tail:
        raise ScanError("too_large", f"the file unpacks to more than {MAX_BYTES >> 20} MiB")
    if not stream.eof:
        raise ScanError("unreadable", "the compressed file ends too early")
    return inflated


def _points_outside(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/"))
    return parts.is_absolute() or ".." in parts.parts or ":" in name.split("/")[0]


def _check_total(files: int, size: int) -> None:
    if files > MAX_FILES:
        raise ScanError("too_large", f"the path holds {files} files; the most is {MAX_FILES}")
    if size > MAX_BYTES:
        raise ScanError("too_large", f"the files hold {size >> 20} MiB; the most is {MAX_BYTES >> 20} MiB")


def _guarded(action: Callable[[], _T], path: str) -> _T:
    """Turn what a filesystem may raise into a reason; its own text may name people's folders."""
    try:
        return action()
    except ScanError:
        raise
    except PermissionError:
        raise ScanError("permission_denied", "storage refused to let the path be read") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ScanError("path_missing", "the path does not exist") from None
    except ImportError:
        detail = f"a package for {get_protocol(path)}:// is not installed; see the extras of spinenet"
        raise ScanError("unreadable", detail) from None
    except Exception as error:
        if type(error).__name__ in _REFUSED:
            raise ScanError("permission_denied", "storage refused the credentials, or had none") from None
        raise ScanError("unreadable", f"storage failed ({type(error).__name__})") from None


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
        sizes: dict[str, int] = {}
        for name, info in found.items():
            sizes |= _below(fs, name) if info["type"] == "directory" else _sizes(fs, {name: info})
        return sizes
    return _below(fs, root)


def _below(fs: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    # other filesystems raise of themselves; the local one would leave out what it may not list
    strict = {"on_error": "raise"} if isinstance(fs, LocalFileSystem) and fs.isdir(root) else {}
    found = fs.find(root, maxdepth=MAX_DEPTH, detail=True, **strict)
    if not found:
        fs.ls(root)
    return _sizes(fs, {name: info or fs.info(name) for name, info in found.items()})


def _sizes(fs: fsspec.AbstractFileSystem, found: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Plain files only: a pipe or a device would never end."""
    sizes = {}
    for name, listed in found.items():
        info = fs.info(name) if listed.get("islink") else listed
        if info["type"] == "file":
            sizes[name] = int(info.get("size") or 0)
    return sizes


def _cat(fs: fsspec.AbstractFileSystem, names: Iterable[str]) -> dict[str, bytes]:
    # cat expands globs, so a name that merely looks like one is read by itself
    plain = [name for name in names if not any(mark in name for mark in "*?[")]
    contents: dict[str, bytes] = dict(fs.cat(plain)) if plain else {}
    for name in names:
        if name not in contents:
            contents[name] = fs.cat_file(name)
    return contents
