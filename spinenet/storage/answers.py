"""Classifies the errors of a store: whether one is transient, and the sentence for the user.

Errors are recognised by their HTTP status, their code and the names of their classes, so that no store's
package needs to be installed. Their own texts are not shown, as they may contain signed URLs.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spinenet.errors import StorageError
from spinenet.redaction import redacted

_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_PASSING_CODES = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "IncompleteBody",
    "OperationAborted",
    "ConditionalRequestConflict",
    "TooManyRequests",
    "ServerBusy",
    "OperationTimedOut",
    "XAmzContentSHA256Mismatch",
}
_PASSING_ERRNO = {errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.EPIPE, errno.ETIMEDOUT}
_PASSING_ERRNO |= {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}
_PASSING_CLASSES = {
    "HTTPClientError",  # botocore: connection closed, reset, timed out or refused
    "ResponseParserError",  # botocore: an answer cut short
    "IncompleteReadError",
    "ClientPayloadError",  # aiohttp: a body cut short
    "ClientConnectionError",
    "ServerDisconnectedError",
    "ServiceRequestError",  # azure
    "ServiceResponseError",
    "FSTimeoutError",
}
_UNREACHABLE = {"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError"}
_UNREACHABLE |= {"ConnectionRefusedError", "gaierror"}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}
_NO_CREDENTIALS |= {"ProfileNotFound", "TokenRetrievalError", "NoAuthTokenError", "DefaultCredentialsError"}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}
_REFUSED_STATUS = {401, 403}
_REFUSED_CODES = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken"}
_REFUSED_CODES |= {"InvalidToken", "AuthenticationFailed", "AuthorizationFailure"}
_REFUSED_CLASSES = {"ClientAuthenticationError"}  # azure
FULL: frozenset[int] = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of errors that say that there is no room to write, on the disk or for this user or process."""
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Facts:
    """The class names, codes, HTTP statuses and error numbers of an error and its causes."""

    classes: frozenset[str]
    codes: frozenset[str]
    statuses: frozenset[int]
    numbers: frozenset[int]

    @classmethod
    def of(cls, error: BaseException) -> Facts:
        """Collect the facts of ``error`` and its causes."""
        causes = list(_causes(error))
        classes = {kind.__name__ for e in causes for kind in type(e).__mro__}
        answers = [answer for e in causes if isinstance(answer := getattr(e, "response", None), Mapping)]
        codes = [answer.get("Error", {}).get("Code") for answer in answers]
        codes += [getattr(e, "error_code", None) for e in causes]
        statuses = [answer.get("ResponseMetadata", {}).get("HTTPStatusCode") for answer in answers]
        statuses += [getattr(e, "status_code", None) for e in causes]
        statuses += [getattr(e, "status", None) for e in causes]
        numbers = {e.errno for e in causes if isinstance(e, OSError) and e.errno is not None}
        return cls(
            frozenset(classes),
            frozenset(str(getattr(code, "value", code)) for code in codes if code),
            frozenset(status for status in statuses if isinstance(status, int)),
            frozenset(numbers),
        )

    @property
    def passing(self) -> bool:
        """Whether the error is transient: throttled, connection broken, timed out or unreachable."""
        if self.codes & _PASSING_CODES or self.statuses & _PASSING_STATUS:
            return True
        if self.codes or self.statuses:
            return False
        timed_out = "TimeoutError" in self.classes
        return timed_out or bool(self.classes & _PASSING_CLASSES or self.numbers & _PASSING_ERRNO)

    @property
    def unreachable(self) -> bool:
        """Whether no connection could be made."""
        return not self.statuses and bool(self.classes & _UNREACHABLE)

    @property
    def no_bucket(self) -> bool:
        """Whether the bucket or container does not exist, rather than a file in it."""
        return bool(self.codes & _NO_BUCKET)

    @property
    def no_credentials(self) -> bool:
        """Whether no credentials were configured."""
        return bool(self.classes & _NO_CREDENTIALS)

    @property
    def refused(self) -> bool:
        """Whether the store refuses the credentials, or the request for lack of rights."""
        refused = self.codes & _REFUSED_CODES or self.classes & _REFUSED_CLASSES
        return bool(refused or self.statuses & _REFUSED_STATUS)


def refusal(action: str, url: str, error: BaseException, local: bool) -> StorageError:
    """The error for the user: what could not be done, why, and what to do about it.

    Parameters
    ----------
    action
        Verb of what was tried, such as "read".
    url
        The file or folder.
    error
        The error of the filesystem.
    local
        Whether the file is on a mounted disk.
    """
    cause = _on_disk(error) if local else _remote(Facts.of(error), error)
    return StorageError(f"cannot {action} {redacted(url)}: {cause}")


def _on_disk(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    cause = redacted(getattr(error, "strerror", None) or str(error) or type(error).__name__)
    if number in FULL:
        return f"{cause}; make room, then start again to go on where it was"
    if number in _FORBIDDEN:
        return f"{cause}; get the right to it, or name another folder"
    return cause


def _remote(facts: Facts, error: BaseException) -> str:
    about = ", ".join(sorted(facts.codes) or [str(status) for status in sorted(facts.statuses)])
    about = about or type(error).__name__
    if facts.no_credentials:
        return (
            "no credentials were found; give them by environment (such as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY), a profile, or fsspec's configuration"
        )
    if facts.no_bucket:
        return f"there is no such bucket or container ({about}); make it, or correct the address"
    if "RequestTimeTooSkewed" in facts.codes:
        return "this machine's clock and the store's differ too much; set the clock"
    if facts.refused or isinstance(error, PermissionError):
        return (
            f"the store refuses the credentials ({about}); give ones that are valid there and may list, "
            "read, write and delete"
        )
    if facts.unreachable:
        return (
            "the store cannot be reached; check the network and the store's address "
            "(AWS_ENDPOINT_URL for an S3 that is not Amazon's)"
        )
    if facts.statuses & {429, 503} or facts.codes & {"SlowDown", "ServerBusy"}:
        return f"the store stayed too busy ({about}); start again later to go on where it was"
    if facts.passing:
        return f"the connection to the store kept failing ({about}); start again to go on where it was"
    return f"the store refuses it ({about})"


def _causes(error: BaseException) -> Iterator[Any]:
    """An error and its causes, some of which libraries keep in attributes of their own."""
    waiting: list[BaseException | None] = [error]
    visited: set[int] = set()
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in visited:
            continue
        visited.add(id(current))
        yield current
        # __context__ may be an unrelated error that a caller is handling; only for FileNotFoundError is it
        # the reason
        waiting.append(
            current.__cause__ or (current.__context__ if isinstance(current, FileNotFoundError) else None)
        )
        inner = getattr(current, "inner_exception", None)
        waiting.append(inner if isinstance(inner, BaseException) else None)
