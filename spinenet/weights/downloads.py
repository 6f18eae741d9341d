"""Downloads one file: resumed where it broke off, verified, and moved into place as a whole."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import requests

from spinenet.errors import WeightsError
from spinenet.redaction import bare, redacted
from spinenet.storage.answers import FULL
from spinenet.storage.disk import move_whole
from spinenet.weights.description import sha256_of

Progress = Callable[[str, int, int | None], None]
"""Function called with a file's name, the bytes downloaded so far, and its size in bytes where known."""

CHUNK_BYTES = 1 << 20
"""Bytes read from the connection at a time."""
TIMEOUT_SECONDS = (20.0, 60.0)
"""How long a server of weights may take to connect, and between two chunks."""
PAUSES_SECONDS = (0.5, 2.0, 5.0)
"""Before each new attempt after a connection to such a server broke."""

_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST})


class _BrokenOff(Exception):  # noqa: N818 - ends one attempt, not the download
    """The connection ended early; the part of the file that arrived is kept."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Download one file to ``target``; a broken download continues from its ``.part`` file.

    Parameters
    ----------
    url
        An http(s) URL, or any other that fsspec opens (not resumed).
    target
        Path of the file, which appears only once it is complete and verified.
    sha256
        Expected digest (hex); None skips the check.
    progress
        Reports the progress; see :data:`Progress`.

    Returns
    -------
    str
        SHA-256 (hex) of the file.

    Raises
    ------
    WeightsError
        One sentence for any failure. After a digest mismatch no part is kept.
    """
    part = target.with_name(f"{target.name}.part")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if urlsplit(url).scheme in ("http", "https"):
            _with_new_attempts(url, part, progress)
        else:
            _copy(url, part, progress)
        digest = sha256_of(part)
        if sha256 is not None and digest != sha256.lower():
            forget(target)
            raise WeightsError(
                f"{bare(url)} was refused and removed: its SHA-256 is {digest}, not {sha256.lower()}."
            )
        move_whole(part, target)
        _validator_file(part).unlink(missing_ok=True)
    return digest


def forget(target: Path) -> None:
    """Remove a file and what is left of a broken download of it."""
    part = target.with_name(f"{target.name}.part")
    for path in (target, part, _validator_file(part)):
        path.unlink(missing_ok=True)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise the disk's errors inside the block as a WeightsError about ``path``.

    Raises
    ------
    WeightsError
        The disk is full, the store is not writable, or another error of the file system.
    """
    try:
        yield
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(_storage_sentence(error, path)) from error


def _storage_sentence(error: OSError, path: Path) -> str:
    if error.errno in FULL:
        return (
            f"The disk is full: there is no room for {path}; free some space,"
            " or set SPINENET_HOME to a folder on another disk, and run it again."
        )
    if error.errno in _REFUSED:
        in_the_way = error.errno in (errno.ENOTDIR, errno.EEXIST)
        cause = "a file is in the way" if in_the_way else error.strerror
        return f"{path} cannot be written ({cause}); set SPINENET_HOME to a folder that you may write."
    return f"{path} cannot be written: {error.strerror or error}."


def _with_new_attempts(url: str, part: Path, progress: Progress | None) -> None:
    for pause in (*PAUSES_SECONDS, None):
        try:
            _attempt(url, part, progress)
            return
        except _BrokenOff as error:
            if pause is None:
                size = part.stat().st_size if part.exists() else 0
                raise WeightsError(
                    f"The download of {bare(url)} broke off after {size} bytes ({error}); run it again,"
                    " and it goes on from there."
                ) from error
            time.sleep(pause)
        except requests.RequestException as error:
            raise WeightsError(_network_sentence(error, url)) from error


def _attempt(url: str, part: Path, progress: Progress | None) -> None:
    offset, headers = _resumption(part)
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        total_in_range = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if total_in_range == str(offset):
                return  # broke off between the last byte and the move
            forget_part(part)
            raise _BrokenOff("the server has another file now")
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            offset = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            forget_part(part)
            raise _BrokenOff("the server sent another range than asked")
        length = response.headers.get("Content-Length")
        total = offset + int(length) if length and length.isdigit() else None
        if total is not None and total - offset > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))
        with part.open("ab" if offset else "wb") as stream:
            _note_validator(part, response)
            try:
                for chunk in response.iter_content(CHUNK_BYTES):
                    stream.write(chunk)
                    offset += len(chunk)
                    if progress is not None:
                        progress(part.stem, offset, total)
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                raise _BrokenOff("the connection was closed") from error
    if total is not None and offset < total:
        raise _BrokenOff(f"of {total}")


def _resumption(part: Path) -> tuple[int, dict[str, str]]:
    # without the server's validator the part may belong to an older file, so the download starts anew
    headers = {"Accept-Encoding": "identity"}
    offset = part.stat().st_size if part.exists() else 0
    validator = _validator_file(part)
    if not offset or not validator.exists():
        return 0, headers
    return offset, {**headers, "Range": f"bytes={offset}-", "If-Range": validator.read_text()}


def _note_validator(part: Path, response: requests.Response) -> None:
    tag = response.headers.get("ETag", "")
    # If-Range needs a strong tag (RFC 9110, section 13.1.5).
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    if validator:
        _validator_file(part).write_text(validator)
    else:
        _validator_file(part).unlink(missing_ok=True)


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def forget_part(part: Path) -> None:
    """Remove the part of a broken download and its validator."""
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _copy(url: str, part: Path, progress: Progress | None) -> None:
    done = 0
    with part.open("wb") as stream:
        for chunk, total in _chunks(url):
            stream.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(part.stem, done, total)


def _chunks(url: str) -> Iterator[tuple[bytes, int | None]]:
    # separate from the writing, so that the source's errors are not reported as the disk's
    try:
        with fsspec.open(url, "rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk, getattr(source, "size", None)
    except (OSError, ValueError, ImportError) as error:
        raise WeightsError(f"{bare(url)} cannot be read: {redacted(str(error))}.") from error


def _network_sentence(error: requests.RequestException, url: str) -> str:
    name = bare(url)
    if isinstance(error, requests.exceptions.ProxyError):
        proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or "the proxy"
        return (
            f"{name} cannot be reached through {bare(proxy)}: the proxy refused or does not answer; check"
            " HTTP_PROXY, HTTPS_PROXY and NO_PROXY."
        )
    if isinstance(error, requests.exceptions.SSLError):
        return f"{name} cannot be reached safely: its certificate was not accepted."
    if isinstance(error, requests.Timeout):
        return f"{name} does not answer; check the network and run it again."
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{name} was not served: status {error.response.status_code} {error.response.reason}."
    if isinstance(error, requests.ConnectionError):
        return f"{name} cannot be reached; check the network, or name a mirror with SPINENET_WEIGHTS_URL."
    return f"{name} cannot be fetched: {redacted(str(error))}."
