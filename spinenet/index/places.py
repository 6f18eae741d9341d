"""Where series may lie below a root: folders, archives and single images, found by listing alone."""

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
"""Endings of files that usually have the voxels of a MetaImage's header, ``.mhd``, beside it."""

DEEPEST = 100
"""Folders in one another that are gone down."""

FOLDER, ARCHIVE, VOLUME = "folder", "archive", "volume"
UNNAMEABLE, REFUSED, FAILED, EMPTY = "unnameable", "refused", "failed", "empty"
LINKED, DEEP = "linked", "deep"
"""Kinds of places that are not looked into: a manifest cannot hold the path, storage refused to list it, or
failed, or there is nothing in it; a link to an image that is found itself; a folder
below more others than are gone down. And :data:`spinenet.index.links.LOST`."""

Infos = dict[str, Mapping[str, Any]]
"""What a filesystem says of files, by their paths."""

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
    deeper
        Whether there are folders in the folder, of which none of the files is.
    beside
        Files and bytes of images that lie among the files and are places of their own: reading the folder
        fetches them too.
    """

    path: str
    kind: str
    files: Mapping[str, int]
    stamp: str
    deeper: bool = False
    beside: tuple[int, int] = (0, 0)


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
        In order of their paths, those behind links last. Hidden files and folders are passed over; whatever
        else lies below the root is in one of the places, or counts as no image by its name.

    Raises
    ------
    FileNotFoundError
        There is no ``root``.
    """
    if fs.isfile(root):
        yield from _of_folder(posixpath.dirname(root), [fs.info(root)], _sidecars_above(fs, root), None)
        return
    if not fs.isdir(root):
        raise FileNotFoundError(root)
    root = root.rstrip("/")
    links = Links(fs, root)
    above = _sidecars_above(fs, f"{root}/")
    yield from _below(fs, root, 0, above, links, behind=False)
    for link in links.put_off():
        if is_text(link):
            yield from _below(fs, link, 0, above, links, behind=True)
        else:
            yield _unnameable(link)


def joined(fs: Any, folders: Sequence[str]) -> Place:
    """The loose files of several folders as one place, at the folder that holds them all."""
    common = posixpath.commonpath(folders)
    links = Links(fs, common)
    places = (
        place
        for folder in folders
        for place in _of_folder(folder, _files(links.listed(folder)), {}, None)
        if place.kind == FOLDER
    )
    infos = [info for place in places for info in map(fs.info, place.files)]
    return _place(common, FOLDER, infos)


def _files(listed: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [info for info in listed if info["type"] in ("file", LOST)]


def _below(fs: Any, folder: str, depth: int, above: Infos, links: Links, *, behind: bool) -> Iterator[Place]:
    """The places of a folder and those in it; ``above`` are the JSON files of the folders that it lies in."""
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
    yield from _of_folder(folder, files, sidecars, links, deeper=bool(folders))
    for inner in folders:
        if not is_text(inner):
            yield _unnameable(inner)
        elif not behind or links.first_time(inner):
            yield from _below(fs, inner, depth + 1, sidecars, links, behind=behind)


def _sidecars_above(fs: Any, path: str) -> Infos:
    """JSON files in the folders around a path that lies within a BIDS dataset."""
    found: Infos = {}
    folder = posixpath.dirname(path)
    for _ in range(LEVELS + 1):
        if not any(part.startswith("sub-") for part in path.split("/")):
            break
        try:
            listed = fs.ls(folder, detail=True)
        except OSError:
            break
        found = {
            str(info["name"]): info
            for info in listed
            if info["type"] == "file" and str(info["name"]).lower().endswith(".json")
        } | found
        folder = posixpath.dirname(folder)
    return found


def _of_folder(
    folder: str,
    files: Iterable[Mapping[str, Any]],
    sidecars: Infos,
    links: Links | None,
    *,
    deeper: bool = False,
) -> Iterator[Place]:
    """The places that the files of one folder are."""
    named = {str(info["name"]): info for info in files if not is_hidden(str(info["name"]))}
    lost = {name: info for name, info in named.items() if info["type"] == LOST}
    there = {name: info for name, info in named.items() if name not in lost}
    voxels = {pair_of(name) for name in there if name.lower().endswith(PAIRS)}
    alone = {name: info for name, info in there.items() if name.lower().endswith(ARCHIVES + VOLUMES)}
    rest = {name: info for name, info in there.items() if name not in alone and name not in voxels}
    loose = {name: info for name, info in rest.items() if not name.lower().endswith(OTHER)}
    if not loose and not alone:
        # whatever their names say: reading the folder would open them
        loose = rest
    if loose:
        images = [there[name] for name in alone if not name.lower().endswith(ARCHIVES)]
        beside = len(images), sum(int(info.get("size") or 0) for info in images)
        yield replace(_place(folder, FOLDER, loose.values()), deeper=deeper, beside=beside)
    for path in alone:
        yield _alone(path, there, sidecars, links)
    if lost:
        named_alone = [name for name in lost if name.lower().endswith(ARCHIVES + VOLUMES)]
        others = [name for name in lost if name not in named_alone]
        for path in [*named_alone, *others[:1]]:
            yield Place(path, LOST, {}, LOST) if is_text(path) else _unnameable(path)


def _alone(path: str, there: Infos, sidecars: Infos, links: Links | None) -> Place:
    """The place of an archive or an image, with the files that belong to it."""
    info = there[path]
    if not is_text(path):
        return _unnameable(path)
    if info.get("islink") and links is not None and links.found_itself(path):
        return _place(path, LINKED, [info])
    if path.lower().endswith(ARCHIVES):
        return _place(path, ARCHIVE, [info])
    beside = [sidecars[name] for name in sidecar_names(path) if name in sidecars]
    voxels = pair_of(path)
    if voxels in there:
        beside.append(there[voxels])
    if path.lower().endswith(_HEADER):
        # the voxels are usually there, so that they count for the stamp
        wanted = {path[: -len(_HEADER)] + ending for ending in VOXELS}
        beside += [there[name] for name in sorted(wanted & there.keys())]
    return _place(path, VOLUME, [info, *beside])


def is_text(path: str) -> bool:
    """Whether a path can be written down: names on a disk are bytes, and may be no UTF-8."""
    return path.isascii() or path.encode(errors="replace").decode() == path


def _unnameable(path: str) -> Place:
    return Place(path.encode(errors="replace").decode(), UNNAMEABLE, {}, UNNAMEABLE)


def _place(path: str, kind: str, infos: Iterable[Mapping[str, Any]]) -> Place:
    listed = [(str(info["name"]), int(info.get("size") or 0), _mark(info)) for info in infos]
    stamp = hashlib.sha256(json.dumps(sorted(listed)).encode()).hexdigest()
    return Place(path, kind, {name: size for name, size, _ in listed}, stamp)


def _mark(info: Mapping[str, Any]) -> str:
    return next((str(info[name]) for name in _CHANGED if info.get(name)), "")
