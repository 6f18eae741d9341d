"""What goes wrong with storage, the network or the machine has its own reason, apart from broken files."""

from __future__ import annotations

import errno
import gzip
import os
import ssl
import zipfile
from pathlib import Path

import pytest

from spinenet.anatomy import REASONS, SURROUNDINGS
from spinenet.errors import ScanError
from spinenet.readers.series import read_scan
from spinenet.readers.sources import files
from spinenet.storage.causes import scan_error


class Answer(Exception):  # noqa: N818 - as the stores' packages name theirs
    """An error that carries the answer of an S3 server."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__("secret address")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class Status(Exception):  # noqa: N818
    """An error that carries the status of a web server."""

    def __init__(self, status: int) -> None:
        super().__init__("secret address")
        self.status = status


class EndpointConnectionError(Exception):
    """As botocore raises where nobody listens."""


CAUSES = [
    *((OSError(number, "x"), "storage_failed") for number in (errno.EIO, errno.ESTALE, errno.ENOTCONN)),
    *((OSError(number, "x"), "storage_failed") for number in (errno.ENODEV, errno.EHOSTDOWN, errno.EBADF)),
    *((OSError(number, "x"), "storage_failed") for number in (errno.ETIMEDOUT, errno.EREMOTEIO)),
    (ConnectionResetError(errno.ECONNRESET, "x"), "storage_failed"),
    (ConnectionError("no number"), "storage_failed"),
    (TimeoutError(), "storage_failed"),
    (EndpointConnectionError(), "storage_failed"),
    (ssl.SSLError(1, "certificate"), "storage_failed"),
    (Answer(503, "SlowDown"), "storage_failed"),
    (Answer(404, "NoSuchBucket"), "storage_failed"),
    (Status(501), "storage_failed"),
    (Answer(403, "InvalidAccessKeyId"), "permission_denied"),
    (Answer(400, "ExpiredToken"), "permission_denied"),
    (Status(401), "permission_denied"),
    (PermissionError(errno.EACCES, "x"), "permission_denied"),
    (OSError(errno.EPERM, "x"), "permission_denied"),
    (OSError(errno.EKEYEXPIRED, "x"), "permission_denied"),
    (FileNotFoundError(errno.ENOENT, "x"), "path_missing"),
    (Status(404), "path_missing"),
    (OSError(errno.ENOSPC, "x"), "no_space"),
    (OSError(errno.EDQUOT, "x"), "no_space"),
    (OSError(errno.EMFILE, "x"), "too_many_open_files"),
    (OSError(errno.ENFILE, "x"), "too_many_open_files"),
    (OSError(errno.ENOMEM, "x"), "out_of_memory"),
    (MemoryError(), "out_of_memory"),
    (RuntimeError("can't start new thread"), "out_of_memory"),
    (ModuleNotFoundError("x", name="nibabel"), "package_missing"),
    (OSError(errno.ENAMETOOLONG, "x"), "unreadable"),
    (OSError(errno.ELOOP, "x"), "unreadable"),
]
OF_FILES = [gzip.BadGzipFile("x"), zipfile.BadZipFile("x"), EOFError(), ValueError("x"), KeyError()]


@pytest.mark.parametrize(("error", "reason"), CAUSES, ids=lambda value: getattr(value, "args", value))
def test_each_cause_has_its_reason(error: Exception, reason: str) -> None:
    told = scan_error(error)
    assert told is not None
    assert told.reason == reason
    assert "secret" not in told.detail
    assert "\n" not in told.detail


@pytest.mark.parametrize("error", OF_FILES, ids=lambda error: type(error).__name__)
def test_a_broken_file_is_none_of_these(error: Exception) -> None:
    assert scan_error(error) is None


def test_reasons_of_the_surroundings_are_reasons() -> None:
    assert set(REASONS) > SURROUNDINGS
    own = {"unreadable", "bad_pixels", "not_mr", "no_files", "too_large", "no_vertebrae", "series_missing"}
    assert not own & SURROUNDINGS
    assert all(reason in SURROUNDINGS for error, reason in CAUSES if reason != "unreadable")


@pytest.mark.parametrize(("error", "reason"), CAUSES, ids=lambda value: getattr(value, "args", value))
def test_a_reader_tells_them_apart(
    error: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files._RETRIES, "hurried", True)

    def fail(fs: object, root: str) -> None:
        raise error

    monkeypatch.setattr(files, "_listing", fail)
    with pytest.raises(ScanError) as caught:
        read_scan(str(tmp_path))
    assert caught.value.reason == reason


def test_a_truncated_archive_is_unreadable_and_a_folder_without_rights_is_not(tmp_path: Path) -> None:
    broken = tmp_path / "scan.zip"
    broken.write_bytes(b"PK\x03\x04" + os.urandom(200))
    with pytest.raises(ScanError, match="unreadable"):
        read_scan(str(broken))
    with pytest.raises(ScanError, match="unreadable"):
        read_scan(str(tmp_path / ("x" * 300)))
    with pytest.raises(ScanError, match="unreadable"):
        read_scan("nosuchprotocol://place/scan")
