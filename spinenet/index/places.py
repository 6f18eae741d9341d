"""Where series may lie below a root: folders, archives and single images, found by listing alone."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from spinenet.readers.files import MAX_DEPTH

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd")
OTHER = (
    *(".json", ".txt", ".csv", ".tsv", ".pdf", ".xml", ".html", ".htm", ".jpg", ".jpeg", ".png", ".gif"),
    *(".bmp", ".tif", ".tiff", ".md", ".log", ".bval", ".bvec", ".exe", ".dll", ".inf", ".ini", ".py"),
    *(".raw", ".zraw", ".sh", ".h5", ".mat", ".parquet", ".doc", ".docx", ".xls", ".xlsx", ".mp4", ".avi"),
    *(".js", ".css"),
)
"""Endings of files that are no image and are not opened."""

_HEADER = ".mhd"
VOXELS = (".raw", ".zraw")
"""Endings of files that usually have the voxels of a MetaImage's header, ``.mhd``, beside it."""

UNNAMEABLE, REFUSED, FAILED, EMPTY = "unnameable", "refused", "failed", "empty"
"""Kinds of places that are not looked into: a manifest cannot hold the path, storage refused to list it, or
failed, or there is nothing in it."""

_CHANGED = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""What filesystems call the mark of a file's content or time, the best first."""


@dataclass(frozen=True)
class Place:
    """Files that are looked at together, because a series does not spread beyond them.

    Attributes
    ----------
    path
        The folder, archive or image, in the filesystem's own spelling.
    kind
        "folder", "archive", "volume", or why it is none of these.
    files
        Paths to open, and the size of each in bytes.
    stamp
        Digest of the names, sizes and times listed; the same as long as nothing has changed.
    """

    path: str
    kind: str
    files: Mapping[str, int]
    stamp: str


def as_url(fs: Any, path: str) -> str:
    """A path as others can open it: on a local disk as it is, elsewhere with its protocol."""
    return path if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(path))


def find_places(fs: Any, root: str) -> Iterator[Place]:
    """Walk a filesystem.

    Parameters
    ----------
    fs
        An fsspec filesystem.
    root
        A folder, or a single file.

    Yields
    ------
    Place
        In order of their paths; those without a file to open are left out, but for those that could not be
        listed or named, and folders in which nothing lies at all.

    Raises
    ------
    FileNotFoundError
        There is no ``root``.
    """
    if fs.isfile(root):
        yield from _of_folder(posixpath.dirname(root), [fs.info(root)])
        return
    if not fs.isdir(root):
        raise FileNotFoundError(root)
    yield from _below(fs, root.rstrip("/"), MAX_DEPTH)


def joined(fs: Any, folders: Sequence[str]) -> Place:
    """The loose files of several folders as one place, at the folder that holds them all."""
    files = [info for folder in folders for info in _listed(fs, folder) if info["type"] == "file"]
    loose = [info for info in files if _is_loose(str(info["name"]))]
    return _place(posixpath.commonpath(folders), "folder", loose)


def _below(fs: Any, folder: str, depth: int) -> Iterator[Place]:
    try:
        listed = _listed(fs, folder)
    except OSError as error:
        yield Place(folder, REFUSED if isinstance(error, PermissionError) else FAILED, {}, "")
        return
    folders = []
    for info in listed:
        name = str(info["name"]).rstrip("/")
        if info["type"] == "directory" and name != folder and not posixpath.basename(name).startswith("."):
            folders.append(name)
    if not listed:
        yield Place(folder, EMPTY, {}, EMPTY)
    yield from _of_folder(folder, [info for info in listed if info["type"] == "file"])
    if depth > 1:
        for inner in folders:
            if is_text(inner):
                yield from _below(fs, inner, depth - 1)
            else:
                yield _unnameable(inner)


def _listed(fs: Any, folder: str) -> list[Mapping[str, Any]]:
    """What lies in a folder, by name; links as what they lead to, unless that is a folder around them."""
    listed = sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"]))
    return [found for info in listed if (found := _followed(fs, info) if info.get("islink") else info)]


def _followed(fs: Any, info: Mapping[str, Any]) -> Mapping[str, Any] | None:
    path = str(info["name"])
    try:
        leads_to = os.path.realpath(path, strict=True)
        around = os.path.realpath(posixpath.dirname(path)) + "/"
        return None if around.startswith(leads_to.rstrip("/") + "/") else fs.info(path)
    except OSError:
        return None


def _of_folder(folder: str, files: Iterable[Mapping[str, Any]]) -> Iterator[Place]:
    loose, alone, sidecars, voxels = [], [], {}, {}
    for info in files:
        lower = str(info["name"]).lower()
        if posixpath.basename(lower).startswith("."):
            continue
        if lower.endswith(ARCHIVES + VOLUMES):
            alone.append(info)
        elif lower.endswith(".json"):
            sidecars[str(info["name"])] = info
        elif lower.endswith(VOXELS):
            voxels[str(info["name"])] = info
        elif _is_loose(lower):
            loose.append(info)
    if loose:
        yield _place(folder, "folder", loose)
    for info in alone:
        path = str(info["name"])
        if not is_text(path):
            yield _unnameable(path)
        elif path.lower().endswith(ARCHIVES):
            yield _place(path, "archive", [info])
        else:
            sidecar = sidecars.get(sidecar_of(path))
            beside = [sidecar] if sidecar else []
            if path.lower().endswith(_HEADER):
                # the voxels are usually there, so that they count for the stamp
                wanted = {path[: -len(_HEADER)] + ending for ending in VOXELS}
                beside += [voxels[name] for name in sorted(wanted & voxels.keys())]
            yield _place(path, "volume", [info, *beside])


def _is_loose(name: str) -> bool:
    hidden = posixpath.basename(name).startswith(".")
    return not hidden and not name.lower().endswith(ARCHIVES + VOLUMES + OTHER)


def is_text(path: str) -> bool:
    """Whether a path can be written down: names on a disk are bytes, and may be no UTF-8."""
    return path.isascii() or path.encode(errors="replace").decode() == path


def _unnameable(path: str) -> Place:
    return Place(path.encode(errors="replace").decode(), UNNAMEABLE, {}, UNNAMEABLE)


def sidecar_of(volume: str) -> str:
    """The JSON file that BIDS puts beside an image of this path."""
    for ending in (".nii.gz", *VOLUMES):
        if volume.lower().endswith(ending):
            return volume[: -len(ending)] + ".json"
    return volume + ".json"


def _place(path: str, kind: str, infos: Iterable[Mapping[str, Any]]) -> Place:
    listed = [(str(info["name"]), int(info.get("size") or 0), _mark(info)) for info in infos]
    stamp = hashlib.sha256(json.dumps(sorted(listed)).encode()).hexdigest()
    return Place(path, kind, {name: size for name, size, _ in listed}, stamp)


def _mark(info: Mapping[str, Any]) -> str:
    return next((str(info[name]) for name in _CHANGED if info.get(name)), "")
