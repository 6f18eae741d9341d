"""Walks a root by listing alone, for the places where series may lie: folders, archives, single images."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from spinenet.index.links import LOST, Links
from spinenet.readers.sources.files import ARCHIVES, OTHER, is_hidden
from spinenet.readers.volumes.images import VOLUMES
from spinenet.readers.volumes.nifti import PAIRS, pair_of
from spinenet.readers.volumes.sidecars import LEVELS, sidecar_names

_HEADER = ".mhd"
VOXELS = (".raw", ".zraw")
"""Endings of files that usually hold the voxels of a MetaImage header, ``.mhd``, beside them."""

DEEPEST = 100
"""Deepest level of nested folders that is walked."""

FOLDER, ARCHIVE, VOLUME = "folder", "archive", "volume"
UNNAMEABLE, REFUSED, FAILED, EMPTY = "unnameable", "refused", "failed", "empty"
LINKED, DEEP = "linked", "deep"
"""Kinds of places that are not opened: a path that is not UTF-8, so that a manifest cannot hold it; a folder
that storage refused or failed to list, or an empty one; a link to an image that the walk reaches anyway; a
folder nested too deep. :data:`spinenet.index.links.LOST` is another."""

Infos = dict[str, Mapping[str, Any]]
"""fsspec's file information by path."""

_CHANGE_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")
"""Keys of fsspec's file information that change with a file's content, the most reliable first."""


@dataclass(frozen=True)
class Place:
    """Files that are surveyed together, since a series usually does not extend beyond them.

    Attributes
    ----------
    path
        Path of the folder, archive or image on its filesystem.
    kind
        "folder", "archive", "volume", or the kind of a place that is not opened.
    files
        Sizes in bytes of the files to open, by path.
    stamp
        Digest of the listed names, sizes and times: equal as long as nothing has changed.
    deeper
        Whether the folder has subfolders; their files are not among ``files``.
    beside
        (number, bytes) of images in the folder that are places of their own; reading the folder's path
        fetches them too.
    """

    path: str
    kind: str
    files: Mapping[str, int]
    stamp: str
    deeper: bool = False
    beside: tuple[int, int] = (0, 0)


def as_url(fs: Any, path: str) -> str:
    """The path as a URL with its protocol; a local path as it is."""
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
        Places in order of their paths, those behind links last. Hidden files and folders are skipped; any
        other file below the root belongs to a place, or is no image by its name.

    Raises
    ------
    FileNotFoundError
        ``root`` does not exist.
    """
    if fs.isfile(root):
        yield from _places_of_folder(
            posixpath.dirname(root), [fs.info(root)], _sidecars_above(fs, root), None
        )
        return
    if not fs.isdir(root):
        raise FileNotFoundError(root)
    root = root.rstrip("/")
    links = Links(fs, root)
    above = _sidecars_above(fs, f"{root}/")
    yield from _below(fs, root, 0, above, links, behind=False)
    for link in links.postponed():
        if is_text(link):
            yield from _below(fs, link, 0, above, links, behind=True)
        else:
            yield _unnameable(link)


def joined(fs: Any, folders: Sequence[str]) -> Place:
    """The loose files of several folders as one place, at their common parent folder."""
    common = posixpath.commonpath(folders)
    links = Links(fs, common)
    places = (
        place
        for folder in folders
        for place in _places_of_folder(folder, _files(links.listed(folder)), {}, None)
        if place.kind == FOLDER
    )
    infos = [info for place in places for info in map(fs.info, place.files)]
    return _place(common, FOLDER, infos)


def _files(listed: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [info for info in listed if info["type"] in ("file", LOST)]


def _below(fs: Any, folder: str, depth: int, above: Infos, links: Links, *, behind: bool) -> Iterator[Place]:
    """The places of a folder and its subfolders; ``above`` holds the JSON files of its parent folders."""
    if depth > DEEPEST:
        yield Place(folder, DEEP, {}, DEEP)
        return
    try:
        listed = links.listed(folder)
    except OSError as error:
        yield Place(folder, REFUSED if isinstance(error, PermissionError) else FAILED, {}, "")
        return
    folders = []
    for info in listed:
        name = str(info["name"]).rstrip("/")
        if info["type"] == "directory" and name != folder and not is_hidden(name):
            folders.append(name)
    files = _files(listed)
    if not listed or all(is_hidden(str(info["name"])) for info in listed):
        yield Place(folder, EMPTY, {}, EMPTY)
    sidecars = above | {
        str(info["name"]): info for info in files if str(info["name"]).lower().endswith(".json")
    }
    yield from _places_of_folder(folder, files, sidecars, links, deeper=bool(folders))
    for inner in folders:
        if not is_text(inner):
            yield _unnameable(inner)
        elif not behind or links.first_time(inner):
            yield from _below(fs, inner, depth + 1, sidecars, links, behind=behind)


def _sidecars_above(fs: Any, path: str) -> Infos:
    """JSON files of the folders above a path in a BIDS dataset, which may be sidecars of its images."""
    sidecars: Infos = {}
    folder = posixpath.dirname(path)
    for _ in range(LEVELS + 1):
        if not any(part.startswith("sub-") for part in path.split("/")):
            break
        try:
            listed = fs.ls(folder, detail=True)
        except OSError:
            break
        sidecars = {
            str(info["name"]): info
            for info in listed
            if info["type"] == "file" and str(info["name"]).lower().endswith(".json")
        } | sidecars
        folder = posixpath.dirname(folder)
    return sidecars


def _places_of_folder(
    folder: str,
    files: Iterable[Mapping[str, Any]],
    sidecars: Infos,
    links: Links | None,
    *,
    deeper: bool = False,
) -> Iterator[Place]:
    """The places made of one folder's files: its loose files, and each archive, image and broken link."""
    infos = {str(info["name"]): info for info in files if not is_hidden(str(info["name"]))}
    lost = {name: info for name, info in infos.items() if info["type"] == LOST}
    present = {name: info for name, info in infos.items() if name not in lost}
    voxels = {pair_of(name) for name in present if name.lower().endswith(PAIRS)}
    singles = {name: info for name, info in present.items() if name.lower().endswith(ARCHIVES + VOLUMES)}
    rest = {name: info for name, info in present.items() if name not in singles and name not in voxels}
    loose = {name: info for name, info in rest.items() if not name.lower().endswith(OTHER)}
    if not loose and not singles:
        # reading the folder's path would open these files too, whatever their names
        loose = rest
    if loose:
        images = [present[name] for name in singles if not name.lower().endswith(ARCHIVES)]
        beside = len(images), sum(int(info.get("size") or 0) for info in images)
        yield replace(_place(folder, FOLDER, loose.values()), deeper=deeper, beside=beside)
    for path in singles:
        yield _single_file_place(path, present, sidecars, links)
    if lost:
        lost_singles = [name for name in lost if name.lower().endswith(ARCHIVES + VOLUMES)]
        others = [name for name in lost if name not in lost_singles]
        for path in [*lost_singles, *others[:1]]:
            yield Place(path, LOST, {}, LOST) if is_text(path) else _unnameable(path)


def _single_file_place(path: str, present: Infos, sidecars: Infos, links: Links | None) -> Place:
    """The place of an archive or an image, with its voxels and sidecars."""
    info = present[path]
    if not is_text(path):
        return _unnameable(path)
    if info.get("islink") and links is not None and links.reached_without_links(path):
        return _place(path, LINKED, [info])
    if path.lower().endswith(ARCHIVES):
        return _place(path, ARCHIVE, [info])
    beside = [sidecars[name] for name in sidecar_names(path) if name in sidecars]
    voxels = pair_of(path)
    if voxels in present:
        beside.append(present[voxels])
    if path.lower().endswith(_HEADER):
        # the stamp should cover the voxels, and the header that names them is not read here
        candidates = {path[: -len(_HEADER)] + ending for ending in VOXELS}
        beside += [present[name] for name in sorted(candidates & present.keys())]
    return _place(path, VOLUME, [info, *beside])


def is_text(path: str) -> bool:
    """Whether a path is UTF-8 text, which the bytes of a file name need not be."""
    return path.isascii() or path.encode(errors="replace").decode() == path


def _unnameable(path: str) -> Place:
    return Place(path.encode(errors="replace").decode(), UNNAMEABLE, {}, UNNAMEABLE)


def _place(path: str, kind: str, infos: Iterable[Mapping[str, Any]]) -> Place:
    listed = [(str(info["name"]), int(info.get("size") or 0), _mark(info)) for info in infos]
    stamp = hashlib.sha256(json.dumps(sorted(listed)).encode()).hexdigest()
    return Place(path, kind, {name: size for name, size, _ in listed}, stamp)


def _mark(info: Mapping[str, Any]) -> str:
    return next((str(info[name]) for name in _CHANGE_MARKS if info.get(name)), "")
