"""A folder on any fsspec storage whose files appear whole or not at all.

Local files are written under a temporary name, flushed to the disk and renamed; on an object store a
file is one PUT. A create-only write has one winner, whoever else tries.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from spinenet.errors import StorageError

PIECE = 2**24
"""Bytes of a large file that are in memory at a time."""


def digest(data: bytes) -> str:
    """SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Store:
    """A folder of files, named by paths relative to it.

    Attributes
    ----------
    fs
        The fsspec filesystem.
    root
        The folder in the filesystem's own spelling, without a protocol.
    """

    fs: Any
    root: str

    @classmethod
    def at(cls, url: str, storage_options: Mapping[str, Any] | None = None) -> Store:
        """Open the folder at ``url``; nothing is made until something is written.

        Raises
        ------
        StorageError
            The protocol is unknown or its package is not installed.
        """
        try:
            fs, root = fsspec.core.url_to_fs(url, **dict(storage_options or {}))
        except (ImportError, ValueError) as error:
            raise StorageError(f"cannot open {url}: {error}") from error
        return cls(fs, str(root).rstrip("/"))

    @property
    def local(self) -> bool:
        """Whether the folder is on a mounted disk."""
        return isinstance(self.fs, LocalFileSystem)

    def url(self, name: str = "") -> str:
        """Where ``name`` lies, as a path on a local disk and as a URL elsewhere."""
        path = f"{self.root}/{name}" if name else self.root
        return path if self.local else str(self.fs.unstrip_protocol(path))

    def read(self, name: str) -> bytes:
        """Content of one file.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        StorageError
            A part of the way to it is a file, not a folder.
        """
        try:
            data: bytes = self.fs.cat_file(f"{self.root}/{name}")
        except NotADirectoryError:
            raise StorageError(f"{self.url()} is, or lies below, a file; name a folder") from None
        return data

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Content of each of ``names`` that exists, fetched together."""
        paths = {f"{self.root}/{name}": name for name in names}
        if not paths:
            return {}
        if self.local:
            return {name: Path(path).read_bytes() for path, name in paths.items() if Path(path).is_file()}
        found: Mapping[str, Any] = self.fs.cat(list(paths), on_error="return")
        for result in found.values():
            if isinstance(result, Exception) and not isinstance(result, FileNotFoundError):
                raise result
        return {paths[path]: data for path, data in found.items() if isinstance(data, bytes)}

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return bool(self.fs.isfile(f"{self.root}/{name}"))

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of every finished file directly in ``folder``, by its name there; empty if absent."""
        path = f"{self.root}/{folder}" if folder else self.root
        self.fs.invalidate_cache(path)
        try:
            entries = self.fs.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        files = {str(e["name"]).rsplit("/", 1)[-1]: int(e["size"]) for e in entries if e["type"] == "file"}
        return {name: size for name, size in files.items() if not name.startswith(".")}

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is absent already is no error."""
        for name in names:
            try:
                self.fs.rm_file(f"{self.root}/{name}")
            except FileNotFoundError:
                continue

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of any that is there.

        Raises
        ------
        StorageError
            The storage refused; nothing of the new file is left in place.
        """
        try:
            if self.local:
                target = Path(self.root, name)
                temporary = _flushed_neighbour(target, data)
                temporary.replace(target)
                _flush_folder(target.parent)
            else:
                self.fs.pipe_file(f"{self.root}/{name}", data)
        except OSError as error:
            raise _refusal("write", self.url(name), error) from error

    def write_file(self, name: str, file: Path) -> None:
        """Write a file whole, as :meth:`write` does, from one on this machine that memory need not hold.

        Raises
        ------
        StorageError
            The storage refused; nothing of the new file is left in place.
        """
        try:
            if self.local:
                target = Path(self.root, name)
                with file.open("rb") as source:
                    temporary = _flushed_neighbour(target, source)
                temporary.replace(target)
                _flush_folder(target.parent)
            else:
                self.fs.put_file(str(file), f"{self.root}/{name}")
        except OSError as error:
            raise _refusal("write", self.url(name), error) from error

    def digest_of(self, name: str) -> str:
        """SHA-256 of a file's content in hexadecimal, read piece by piece.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        with self.fs.open(f"{self.root}/{name}", "rb", block_size=PIECE) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def create(self, name: str, data: bytes) -> bool:
        """Write a file only if there is none of that name.

        Returns
        -------
        bool
            True if the file now holds ``data``: written here, or written before with the same content
            (a retry after a lost answer meets its own file). False if it holds something else.

        Raises
        ------
        StorageError
            The storage refused.
        """
        try:
            if self.local:
                _create_locally(Path(self.root, name), data)
            else:
                self.fs.pipe_file(f"{self.root}/{name}", data, mode="create")
        except OSError as error:
            # Ceph says EINVAL where S3 says that the object exists: what is there decides.
            try:
                return self.read(name) == data
            except FileNotFoundError:
                raise _refusal("create", self.url(name), error) from error
        return True


def _flushed_neighbour(target: Path, data: bytes | BinaryIO) -> Path:
    """A new hidden file beside ``target`` that holds ``data``, or all of that file, on the disk itself."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("xb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                shutil.copyfileobj(data, file, PIECE)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _create_locally(target: Path, data: bytes) -> None:
    temporary = _flushed_neighbour(target, data)
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        # Some mounted file systems have no hard links; there an exclusive open is the promise kept.
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(target.parent)


def _flush_folder(folder: Path) -> None:
    """Make a rename outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refusal(action: str, url: str, error: OSError) -> StorageError:
    return StorageError(f"cannot {action} {url}: {error.strerror or error}")
