"""A folder on any fsspec storage whose files appear whole or not at all.

Local files are written under a temporary name, flushed to the disk and renamed; on an object store a
file is one PUT. A create-only write has one winner, whoever else tries.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fsspec.implementations.local import LocalFileSystem

from spinenet.errors import StorageError
from spinenet.redaction import has_secret, redacted, secret_refusal
from spinenet.storage.answers import Facts, refusal
from spinenet.storage.disk import LEFT_BEHIND_S, PIECE, create_whole, sweep, write_whole
from spinenet.storage.options import open_filesystem
from spinenet.storage.retries import Retries

_T = TypeVar("_T")


def digest(data: bytes) -> str:
    """SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Store:
    """A folder of files, named by paths relative to it.

    Every operation is tried again while its trouble may pass, and raises :class:`StorageError`, one
    sentence that says what to do, where the store refuses it.

    Attributes
    ----------
    fs
        The fsspec filesystem.
    root
        The folder in the filesystem's own spelling, without a protocol.
    retries
        How long passing trouble is waited for.
    """

    fs: Any
    root: str
    retries: Retries = field(default_factory=Retries, compare=False)

    @classmethod
    def at(cls, url: str, storage_options: Mapping[str, Any] | None = None) -> Store:
        """Open the folder at ``url``; nothing is made until something is written.

        Parameters
        ----------
        storage_options
            Passed to fsspec; without them its configuration and the environment hold, see
            :mod:`spinenet.storage.options`.

        Raises
        ------
        StorageError
            The protocol is unknown, its package is not installed, or it lacks options; or the address holds a
            secret.
        """
        if has_secret(url):
            raise StorageError(secret_refusal(url))
        try:
            fs, root = open_filesystem(url, storage_options)
        except (ImportError, ValueError) as error:
            raise StorageError(f"cannot open {redacted(url)}: {redacted(str(error))}") from error
        except Exception as error:
            raise refusal("open", url, error, local=False) from error
        return cls(fs, root.rstrip("/"))

    @property
    def local(self) -> bool:
        """Whether the folder is on a mounted disk."""
        return isinstance(self.fs, LocalFileSystem)

    def url(self, name: str = "") -> str:
        """Where ``name`` lies, as a path on a local disk and as a URL without secrets elsewhere."""
        path = self._path(name)
        return path if self.local else redacted(str(self.fs.unstrip_protocol(path)))

    def read(self, name: str) -> bytes:
        """Content of one file.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        StorageError
            The storage refused, or a part of the way to the file is a file, not a folder.
        """
        try:
            data: bytes = self._do("read", name, lambda: self.fs.cat_file(self._path(name)))
        except NotADirectoryError:
            raise StorageError(f"{self.url()} is, or lies below, a file; name a folder") from None
        return data

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Content of each of ``names`` that exists, fetched together; what fails is fetched again alone."""
        wanted = list(dict.fromkeys(names))
        if self.local:
            return {name: data for name in wanted if (data := self._read_if_there(name)) is not None}
        found: dict[str, bytes] = {}
        left, began, tries = wanted, time.monotonic(), 0
        while left:
            answers = self._cat(left)
            found |= {name: bytes(data) for name, data in answers.items() if isinstance(data, bytes)}
            failed = {
                name: error
                for name, error in answers.items()
                if isinstance(error, Exception) and not _absent(error)
            }
            left, tries = list(failed), tries + 1
            # One that does not pass is the news, whatever else may.
            for name, error in sorted(failed.items(), key=lambda one: Facts.of(one[1]).passing)[:1]:
                if not self.retries.waits(error, began, tries):
                    raise refusal("read", self.url(name), error, local=False) from error
        return {name: found[name] for name in wanted if name in found}

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        try:
            # Unlike isfile, which takes every trouble for absence.
            info = self._do("look for", name, lambda: self.fs.info(self._path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return bool(info["type"] == "file")

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of every finished file directly in ``folder``, by its name there; empty if absent."""
        path = self._path(folder)

        def listed() -> list[Mapping[str, Any]]:
            self.fs.invalidate_cache(path)
            entries: list[Mapping[str, Any]] = self.fs.ls(path, detail=True)
            return entries

        try:
            entries = self._do("list", folder, listed)
        except FileNotFoundError:
            return {}
        files = {str(e["name"]).rsplit("/", 1)[-1]: int(e["size"]) for e in entries if e["type"] == "file"}
        # A console of an object store marks a folder by an empty object of its name.
        return {name: size for name, size in files.items() if name and not name.startswith(".")}

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; one that is absent already is no error."""
        for name in names:
            try:
                self._do("delete", name, lambda name=name: self.fs.rm_file(self._path(name)))  # type: ignore[misc]
            except FileNotFoundError:
                continue

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of any that is there; nothing of it is left where that fails."""
        path = self._path(name)
        if self.local:
            self._do("write", name, lambda: write_whole(Path(path), data), reading=False)
        else:
            self._do("write", name, lambda: self.fs.pipe_file(path, data), reading=False)

    def write_file(self, name: str, file: Path) -> None:
        """Write a file, as :meth:`write` does, from one on this machine that memory need not hold."""
        path = self._path(name)
        if self.local:
            self._do("write", name, lambda: write_whole(Path(path), file), reading=False)
        else:
            self._do("write", name, lambda: self.fs.put_file(str(file), path), reading=False)

    def digest_of(self, name: str, size: int) -> str:
        """SHA-256 in hexadecimal of a file's first ``size`` bytes, of which few are in memory at a time.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        path, state = self._path(name), hashlib.sha256()
        for start in range(0, size, PIECE):
            # Each piece is tried again for itself: a large file would hardly come over a bad line whole.
            fetch = partial(self.fs.cat_file, path, start=start, end=min(start + PIECE, size))
            state.update(self._do("read", name, fetch))
        return state.hexdigest()

    def create(self, name: str, data: bytes, *, atomic: bool = True) -> bool:
        """Write a file only if there is none of that name.

        Parameters
        ----------
        atomic
            Whether the store is known to honour create-only writes, see :func:`spinenet.storage.probe`.
            Where not, it is asked first, which others may do at the same moment.

        Returns
        -------
        bool
            True if the file now holds ``data``: written here, or written before with the same content
            (a retry after a lost answer meets its own file). False if it holds something else.
        """
        path = self._path(name)
        if not atomic:
            there = self._read_if_there(name)
            if there is None:
                self.write(name, data)
            return there is None or there == data
        try:
            if self.local:
                create_whole(Path(path), data)
            else:
                self.retries.call(lambda: self.fs.pipe_file(path, data, mode="create"))
            return True
        except Exception as error:
            refused, cause = refusal("create", self.url(name), error, self.local), error
        if Facts.of(cause).passing:
            raise refused from cause
        # Ceph says EINVAL where S3 says that the object exists: what is there decides.
        try:
            return self.read(name) == data
        except (FileNotFoundError, StorageError):
            raise refused from cause

    def honours_create(self) -> bool:
        """Whether of two create-only writes of one name the second is refused.

        Three to five requests; nothing is left behind. A store that takes both writes, or cannot be asked
        for such a write at all, does not honour them.
        """
        name = f"_run/.probe-{uuid.uuid4().hex}"
        try:
            return self.create(name, b"first") and not self.create(name, b"second")
        except StorageError as error:
            if isinstance(error.__cause__, NotImplementedError | TypeError):
                return False
            raise
        finally:
            self.remove([name])

    def sweep(self, folders: Iterable[str], older_than_s: float = LEFT_BEHIND_S) -> int:
        """Remove unfinished files of killed writers and say how many; an object store has none."""
        if not self.local:
            return 0
        there = [Path(self._path(folder)) for folder in folders]
        return self._do("clean", "", lambda: sweep(there, older_than_s))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _read_if_there(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except FileNotFoundError:
            return None

    def _cat(self, names: list[str]) -> dict[str, Any]:
        """Content, or the error, of each file."""
        try:
            # Unlike cat, which takes a name with brackets for a pattern.
            told = self.fs.cat_ranges([self._path(n) for n in names], None, None, on_error="return")
        except Exception as error:
            told = [error] * len(names)
        return dict(zip(names, told, strict=True))

    def _do(self, action: str, name: str, request: Callable[[], _T], *, reading: bool = True) -> _T:
        """The result of ``request``; absence where something is read is the caller's matter."""
        try:
            return request() if self.local else self.retries.call(request)
        except (FileNotFoundError, NotADirectoryError) as error:
            if reading and _absent(error):
                raise
            raise refusal(action, self.url(name), error, self.local) from error
        except Exception as error:
            raise refusal(action, self.url(name), error, self.local) from error


def _absent(error: Exception) -> bool:
    """Whether a file is absent; without its bucket or its server, everything is, and that is an error."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return False
    facts = Facts.of(error)
    return not facts.no_bucket and not facts.passing
