"""``bundle.json``: what a weights bundle says of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spinenet.added_findings import AddedFinding
from spinenet.errors import WeightsError
from spinenet.weights.domain import domain_in

PLAIN_VERSION, FORMAT_VERSION = 1, 2
"""Format of a bundle of four networks alone, and of one with findings that it adds."""
DESCRIPTION_FILE = "bundle.json"
PARTS: tuple[str, ...] = ("detector", "appearance", "context", "grading")
"""The four networks of a bundle."""


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a description; its files are not looked at."""
    return (folder / DESCRIPTION_FILE).exists()


def read_description(folder: Path) -> dict[str, Any]:
    """``bundle.json`` of a folder, checked for the entries that loading needs.

    Raises
    ------
    WeightsError
        If it is absent, is not JSON, comes from a newer format, or lacks an entry.
    """
    path = folder / DESCRIPTION_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise WeightsError(f"{folder} is no weights bundle: it holds no {DESCRIPTION_FILE}.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path} is not UTF-8 text.") from error
    return parse_description(text, str(path))


def parse_description(text: str, where: str) -> dict[str, Any]:
    """The description in the text of a ``bundle.json``; ``where`` names it in errors.

    Raises
    ------
    WeightsError
        If it is not JSON, comes from a newer format, lacks an entry, or states a domain that is none.
    """
    try:
        description = json.loads(text)
    except ValueError as error:
        raise WeightsError(f"{where} is not valid JSON: {error}.") from error
    if not isinstance(description, dict) or not isinstance(description.get("format_version"), int):
        raise WeightsError(f"{where} does not describe a weights bundle: it has no format_version.")
    if description["format_version"] > FORMAT_VERSION:
        raise WeightsError(
            f"{where} has format version {description['format_version']}, newer than"
            f" {FORMAT_VERSION}, the newest that this spinenet reads; update spinenet."
        )
    for entry, wanted in (("architecture", PARTS), ("files", tuple(file_name(part) for part in PARTS))):
        found = description.get(entry)
        missing = [key for key in wanted if not isinstance(found, dict) or key not in found]
        if missing:
            raise WeightsError(f"{where} lacks {', '.join(missing)} under {entry!r}.")
    lacking = [name for name in weights_files(description, where) if name not in description["files"]]
    if lacking:
        raise WeightsError(f"{where} lacks {', '.join(lacking)} under 'files'.")
    domain_in(description, where)
    return description


def added_findings(description: Mapping[str, Any], where: str) -> tuple[AddedFinding, ...]:
    """The findings that a bundle adds to the eleven, by its description.

    Raises
    ------
    WeightsError
        One is not described as it should be.
    """
    try:
        return tuple(AddedFinding.of_plain(fields) for fields in description.get("added", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{where} describes an added finding that cannot be used: {error}.") from error


def weights_files(description: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Names of a bundle's weights files: of its networks, then of the findings that it adds."""
    added = added_findings(description, where)
    return (*map(file_name, PARTS), *(added_file(finding.name) for finding in added))


def added_file(finding: str) -> str:
    """Name of the file of an added finding's head."""
    return file_name(f"added_{finding}")


def file_name(part: str) -> str:
    """Name of a part's file inside the bundle."""
    return f"{part}.safetensors"


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
