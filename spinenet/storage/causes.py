"""Why something could not be read, as a reason of a scan: an error's number, class or HTTP status decides."""

from __future__ import annotations

import errno
import ssl

from spinenet.errors import ScanError
from spinenet.storage.answers import Facts

_DENIED = frozenset({errno.EACCES, errno.EPERM})
_KEYS = ("ENOKEY", "EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED")
_DENIED_KEYS = frozenset(getattr(errno, name) for name in _KEYS if hasattr(errno, name))
"""What a share with Kerberos says of a ticket that is absent or has expired; Linux only."""
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_OF_THE_PATH = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.EILSEQ})
"""What a path itself is refused for, now and ever."""
_DENIED_STATUS = frozenset({401, 403, 407, 511})
_ABSENT_STATUS = frozenset({404, 410})


def scan_error(error: BaseException, where: str = "storage") -> ScanError | None:
    """What an error of the machine, of storage or of the network means for the scan that met it.

    The error's own text is not passed on: it may name people's folders or hold a signed address.

    Parameters
    ----------
    where
        What failed, for the sentence.

    Returns
    -------
    ScanError or None
        None for an error that is none of these.
    """
    facts = Facts.of(error)
    told = _of_requests(facts)
    if told is None and isinstance(error, MemoryError):
        told = "out_of_memory", "memory did not hold the scan"
    if told is None and isinstance(error, ImportError):
        told = "package_missing", f"{error.name or 'a package'} is not installed there"
    if told is None and isinstance(error, OSError | TimeoutError):
        told = _of_system(error, facts, where)
    if told is None and isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        told = "out_of_memory", "the machine lets the process start no more threads"
    return None if told is None else ScanError(*told)


def _of_requests(facts: Facts) -> tuple[str, str] | None:
    """By the answer of a server, or by the lack of one."""
    if facts.refused or facts.no_credentials or facts.statuses & _DENIED_STATUS:
        return "permission_denied", "storage refused the credentials, or had none"
    if facts.no_bucket:
        return "storage_failed", "there is no such bucket or container"
    if facts.passing or facts.unreachable or any(status >= 500 for status in facts.statuses):
        return "storage_failed", f"storage or the network failed ({_named(facts)})"
    if facts.statuses & _ABSENT_STATUS:
        return "path_missing", "the path does not exist"
    return None


def _of_system(error: OSError | TimeoutError, facts: Facts, where: str) -> tuple[str, str] | None:
    """By the error number of the operating system."""
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
        return None  # a library's word for a broken file, such as that of gzip
    return "storage_failed", f"{where} failed ({name})"


def _named(facts: Facts) -> str:
    """A code, status or class that says most, free of addresses."""
    told = sorted(facts.codes) or [str(status) for status in sorted(facts.statuses)]
    told = told or [errno.errorcode.get(number, str(number)) for number in sorted(facts.numbers)]
    general = {"object", "BaseException", "Exception", "OSError"}
    return ", ".join(told or sorted(facts.classes - general)[:1])[:64]
