"""A folder on any fsspec storage whose files appear whole or not at all.

Local files are written under a temporary name, flushed to the disk and renamed; on an object store a file is
one PUT. Of several create-only writes of one name exactly one succeeds.
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
    """A folder of files, which are named by their paths relative to it.

    Every operation is retried while its error is transient, and raises :class:`StorageError`, one sentence
    that says what to do, where the store refuses it.

    Attributes
    ----------
    fs
        The fsspec filesystem.
    root
        Path of the folder on the filesystem, without a protocol.
    retries
        Limits of the retries.
    """

    fs: Any
    root: str
    retries: Retries = field(default_factory=Retries, compare=False)

    @classmethod
    def at(cls, url: str, storage_options: Mapping[str, Any] | None = None) -> Store:
        """Open the folder at ``url``; nothing is created until something is written.

        Parameters
        ----------
        url
            Local path or URL of the folder.
        storage_options
            Options for fsspec; without them its configuration and the environment apply, see
            :mod:`spinenet.storage.options`.

        Raises
        ------
        StorageError
            The protocol is unknown, its package is not installed, or it lacks options; or the URL contains a
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
        """Path of ``name`` on a local disk, or its URL without secrets elsewhere."""
        path = self._path(name)
        return path if self.local else redacted(str(self.fs.unstrip_protocol(path)))

    def read(self, name: str) -> bytes:
        """Read one file.

        Raises
        ------
        FileNotFoundError
            The file does not exist.
        StorageError
            The storage refused, or a parent of the file is not a folder.
        """
        try:
            data: bytes = self._do("read", name, lambda: self.fs.cat_file(self._path(name)))
        except NotADirectoryError:
            raise StorageError(f"{self.url()} is, or lies below, a file; name a folder") from None
        return data

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Read those of ``names`` that exist, in one request; only files that failed are requested again."""
        unique = list(dict.fromkeys(names))
        if self.local:
            return {name: data for name in unique if (data := self._read_if_there(name)) is not None}
        contents: dict[str, bytes] = {}
        remaining, began, tries = unique, time.monotonic(), 0
        while remaining:
            answers = self._cat(remaining)
            contents |= {name: bytes(data) for name, data in answers.items() if isinstance(data, bytes)}
            failed = {
                name: error
                for name, error in answers.items()
                if isinstance(error, Exception) and not _absent(error)
            }
            remaining, tries = list(failed), tries + 1
            # an error that is not transient is raised at once, whatever the other files' errors
            for name, error in sorted(failed.items(), key=lambda item: Facts.of(item[1]).passing)[:1]:
                if not self.retries.waits(error, began, tries):
                    raise refusal("read", self.url(name), error, local=False) from error
        return {name: contents[name] for name in unique if name in contents}

    def exists(self, name: str) -> bool:
        """Whether a file of that name exists."""
        try:
            # not isfile, which returns False for every error
            info = self._do("look for", name, lambda: self.fs.info(self._path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return bool(info["type"] == "file")

    def sizes(self, folder: str) -> dict[str, int]:
        """Sizes in bytes of the finished files directly in ``folder``, by name; empty without the folder."""
        path = self._path(folder)

        def list_entries() -> list[Mapping[str, Any]]:
            self.fs.invalidate_cache(path)
            entries: list[Mapping[str, Any]] = self.fs.ls(path, detail=True)
            return entries

        try:
            entries = self._do("list", folder, list_entries)
        except FileNotFoundError:
            return {}
        files = {str(e["name"]).rsplit("/", 1)[-1]: int(e["size"]) for e in entries if e["type"] == "file"}
        # consoles of object stores mark a folder by an empty object of its name
        return {name: size for name, size in files.items() if name and not name.startswith(".")}

    def remove(self, names: Iterable[str]) -> None:
        """Delete files; those that do not exist are skipped."""
        for name in names:
            try:
                self._do("delete", name, lambda name=name: self.fs.rm_file(self._path(name)))  # type: ignore[misc]
            except FileNotFoundError:
                continue

    def write(self, name: str, content: bytes | Path) -> None:
        """Write or replace a file atomically; nothing of it is left where that fails.

        Parameters
        ----------
        content
            Its bytes, or a local file with them, which need not fit in memory.
        """
        path = self._path(name)
        request: Callable[[], Any]
        if self.local:
            request = partial(write_whole, Path(path), content)
        elif isinstance(content, bytes):
            request = partial(self.fs.pipe_file, path, content)
        else:
            request = partial(self.fs.put_file, str(content), path)
        self._do("write", name, request, reading=False)

    def digest_of(self, name: str, size: int) -> str:
        """SHA-256 (hex) of a file's first ``size`` bytes, read piece by piece.

        Raises
        ------
        FileNotFoundError
            The file does not exist.
        """
        path, state = self._path(name), hashlib.sha256()
        for start in range(0, size, PIECE):
            # each piece has its own retries: over a bad connection a large file would hardly arrive whole
            fetch = partial(self.fs.cat_file, path, start=start, end=min(start + PIECE, size))
            state.update(self._do("read", name, fetch))
        return state.hexdigest()

    def create(self, name: str, data: bytes, *, atomic: bool = True) -> bool:
        """Create a file, only if none of that name exists.

        Parameters
        ----------
        name
            Name of the file.
        data
            Its content.
        atomic
            Whether the store honours create-only writes, see :meth:`honours_create`. Where it does not, the
            file is looked up first, and two writers at the same moment may both write.

        Returns
        -------
        bool
            True if the file now holds ``data``: written here, or before with the same content (a retry after
            a lost response finds its own file). False if it holds other content.
        """
        path = self._path(name)
        if not atomic:
            existing = self._read_if_there(name)
            if existing is None:
                self.write(name, data)
            return existing is None or existing == data
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
        # Ceph answers EINVAL where S3 answers that the object exists, so the content decides
        try:
            return self.read(name) == data
        except (FileNotFoundError, StorageError):
            raise refused from cause

    def honours_create(self) -> bool:
        """Whether the store refuses the second of two create-only writes of one name.

        It takes three to five requests and leaves nothing behind. A store that accepts both writes, or has no
        create-only write, does not honour them.
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
        """Remove the temporary files of killed writers; returns their number, 0 on an object store."""
        if not self.local:
            return 0
        paths = [Path(self._path(folder)) for folder in folders]
        return self._do("clean", "", lambda: sweep(paths, older_than_s))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _read_if_there(self, name: str) -> bytes | None:
        try:
            return self.read(name)
        except FileNotFoundError:
            return None

    def _cat(self, names: list[str]) -> dict[str, Any]:
        """The content or the error of each file, by name."""
        try:
            # not cat, which reads brackets in a name as a glob pattern
            results = self.fs.cat_ranges([self._path(n) for n in names], None, None, on_error="return")
        except Exception as error:
            results = [error] * len(names)
        return dict(zip(names, results, strict=True))

    def _do(self, action: str, name: str, request: Callable[[], _T], *, reading: bool = True) -> _T:
        """Call ``request`` with retries; where something is read, absence is left to the caller."""
        try:
            return request() if self.local else self.retries.call(request)
        except (FileNotFoundError, NotADirectoryError) as error:
            if reading and _absent(error):
                raise
            raise refusal(action, self.url(name), error, self.local) from error
        except Exception as error:
            raise refusal(action, self.url(name), error, self.local) from error


def _absent(error: Exception) -> bool:
    """Whether a file does not exist; a missing bucket or server is an error instead."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return False
    facts = Facts.of(error)
    return not facts.no_bucket and not facts.passing
