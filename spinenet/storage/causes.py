"""Translates errors of storage, network and machine into the reason of a scan, by number, class or status."""

from __future__ import annotations

import errno
import ssl

from spinenet.errors import ScanError
from spinenet.storage.answers import Facts

_DENIED = frozenset({errno.EACCES, errno.EPERM})
_KEYS = ("ENOKEY", "EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED")
_DENIED_KEYS = frozenset(getattr(errno, name) for name in _KEYS if hasattr(errno, name))
"""Error numbers of a Kerberos share without a valid ticket; Linux only."""
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_OF_THE_PATH = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.EILSEQ})
"""Error numbers of a path that can never be opened."""
_DENIED_STATUS = frozenset({401, 403, 407, 511})
_ABSENT_STATUS = frozenset({404, 410})


def scan_error(error: BaseException, where: str = "storage") -> ScanError | None:
    """Translate an error of the machine, storage or network into a scan's reason.

    The error's own text is left out, as it may contain names of people's folders or a signed URL.

    Parameters
    ----------
    error
        The error.
    where
        Subject of the sentence: what failed.

    Returns
    -------
    ScanError or None
        None for an error of another kind.
    """
    facts = Facts.of(error)
    reason = _request_reason(facts)
    if reason is None and isinstance(error, MemoryError):
        reason = "out_of_memory", "memory did not hold the scan"
    if reason is None and isinstance(error, ImportError):
        reason = "package_missing", f"{error.name or 'a package'} is not installed there"
    if reason is None and isinstance(error, OSError | TimeoutError):
        reason = _system_reason(error, facts, where)
    if reason is None and isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        reason = "out_of_memory", "the machine lets the process start no more threads"
    return None if reason is None else ScanError(*reason)


def _request_reason(facts: Facts) -> tuple[str, str] | None:
    """(reason, sentence) by a server's answer, or by its absence; None for an error of another kind."""
    if facts.refused or facts.no_credentials or facts.statuses & _DENIED_STATUS:
        return "permission_denied", "storage refused the credentials, or had none"
    if facts.no_bucket:
        return "storage_failed", "there is no such bucket or container"
    if facts.passing or facts.unreachable or any(status >= 500 for status in facts.statuses):
        return "storage_failed", f"storage or the network failed ({_short_name(facts)})"
    if facts.statuses & _ABSENT_STATUS:
        return "path_missing", "the path does not exist"
    return None


def _system_reason(error: OSError | TimeoutError, facts: Facts, where: str) -> tuple[str, str] | None:
    """(reason, sentence) by the operating system's error number; None for an error of another kind."""
    number = None if isinstance(error, ssl.SSLError) else error.errno
    name = errno.errorcode.get(number or 0, type(error).__name__)
    if isinstance(error, PermissionError) or number in _DENIED | _DENIED_KEYS:
        return "permission_denied", "storage refused to let the path be read"
    if isinstance(error, FileNotFoundError | NotADirectoryError) or number in _ABSENT:
        return "path_missing", "the path does not exist"
    if number in _FULL:
        return "no_space", f"a disk was full ({name})"
    if number in _FILES:
        return "too_many_open_files", f"no more files may be opened ({name})"
    if number == errno.ENOMEM:
        return "out_of_memory", "memory did not hold the scan"
    if number in _OF_THE_PATH:
        return "unreadable", f"the path cannot be opened ({name})"
    network = isinstance(error, ssl.SSLError | TimeoutError | ConnectionError)
    if number is None and not network:
        return None  # raised by a library for a broken file, as gzip does
    return "storage_failed", f"{where} failed ({name})"


def _short_name(facts: Facts) -> str:
    """The most specific codes, statuses, numbers or class of an error, which contain no URLs."""
    names = sorted(facts.codes) or [str(status) for status in sorted(facts.statuses)]
    names = names or [errno.errorcode.get(number, str(number)) for number in sorted(facts.numbers)]
    general = {"object", "BaseException", "Exception", "OSError"}
    return ", ".join(names or sorted(facts.classes - general)[:1])[:64]
