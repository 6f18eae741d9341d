"""The files that an index is given: rules, a secret for the names of subjects, or a table of them."""

from __future__ import annotations

import io

import pandas as pd

from spinenet.errors import ManifestError
from spinenet.redaction import has_secret, redacted, secret_refusal
from spinenet.storage.addresses import open_address

KEY_BYTES = 16
"""The least of a secret."""


def given_text(file: str) -> str:
    """A file's text.

    Raises
    ------
    ManifestError
        It cannot be read, or is no text.
    """
    try:
        return _bytes(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(file, error) from None


def given_key(file: str) -> bytes:
    """The secret that a file holds.

    Raises
    ------
    ManifestError
        It cannot be read, or is too short for a secret.
    """
    key = _bytes(file).strip()
    if len(key) < KEY_BYTES:
        raise ManifestError(
            f"the key in {redacted(file)} has {len(key)} bytes; use {KEY_BYTES} or more, kept secret"
        )
    return key


def given_subjects(file: str) -> dict[str, str]:
    """Subject id by path, of a CSV table.

    Raises
    ------
    ManifestError
        It cannot be read, lacks a column, or leaves something empty.
    """
    try:
        # an id may well be NA
        table = pd.read_csv(io.BytesIO(_bytes(file)), dtype=str, keep_default_na=False)
    except ValueError as error:
        raise _unreadable(file, error) from None
    if not {"path", "subject_id"} <= set(table.columns):
        raise ManifestError(f"{redacted(file)} needs the columns path and subject_id")
    table = table[["path", "subject_id"]].apply(lambda column: column.str.strip())
    if (table == "").any(axis=None):
        raise ManifestError(f"{redacted(file)} has a row without a path or a subject_id")
    return dict(zip(table["path"], table["subject_id"], strict=True))


def _bytes(file: str) -> bytes:
    if has_secret(file):
        raise ManifestError(secret_refusal(file))
    try:
        fs, path = open_address(file)
        read: bytes = fs.cat_file(path)
    except (OSError, ValueError, ImportError) as error:
        raise _unreadable(file, error) from None
    return read


def _unreadable(file: str, error: Exception) -> ManifestError:
    return ManifestError(f"cannot read {redacted(file)}: {type(error).__name__}")
