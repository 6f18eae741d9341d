"""Reads the JSON sidecars that BIDS puts beside or above an image, whose values stand for DICOM tags."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from spinenet.readers.dicom.body_parts import known_body_part
from spinenet.readers.dicom.facts import known_maker, known_model, known_words, sequence_of

MAX_BYTES = 4 << 20
"""Most bytes of a sidecar that is read."""

_ENDINGS = (".nii.gz", ".img.gz", ".hdr.gz", ".nii", ".img", ".hdr", ".mha", ".mhd")
LEVELS = 3
"""Folders above an image's own that hold sidecars for it: of the session, the subject and the dataset."""
_MOST_ENTITIES = 5
"""Most entities, besides subject and session, of which all combinations are looked for."""

_SECONDS = {"EchoTime": 1.0, "RepetitionTime": 60.0, "InversionTime": 15.0}
"""Times, which BIDS has in seconds, and the longest of each that can be seconds; beyond, they are ms."""


def sidecar_of(volume: str) -> str:
    """The JSON file that BIDS puts beside an image of this path."""
    for ending in _ENDINGS:
        if volume.lower().endswith(ending):
            return volume[: -len(ending)] + ".json"
    return volume + ".json"


def sidecar_names(volume: str) -> tuple[str, ...]:
    """Paths at which JSON sidecars of an image may lie; later ones override earlier ones.

    By the inheritance principle of BIDS: a sidecar has the image's suffix and no entity that the image lacks,
    and lies in the image's folder or in one above it, up to the dataset's. Where the name has no entities,
    there is only the file beside the image.
    """
    own = sidecar_of(volume)
    folder, name = posixpath.split(own)
    *entities, suffix = name.removesuffix(".json").split("_")
    if not entities or not all(re.fullmatch(r"[A-Za-z]+-[^-_/]+", entity) for entity in entities):
        return (own,)
    labels = {entity.partition("-")[0]: entity for entity in entities}
    others = [entity for key, entity in labels.items() if key not in ("sub", "ses")][:_MOST_ENTITIES]
    names: list[str] = []
    for level in range(_levels(folder, labels), -1, -1):
        above = folder
        for _ in range(level):
            above = posixpath.dirname(above)
        # a sidecar above the subjects' folders names no subject
        people = [[]] if level == LEVELS or not _within(above, labels) else _people(labels)
        for chosen in (
            list(combination) for n in range(len(others) + 1) for combination in combinations(others, n)
        ):
            for who in people:
                sidecar = "_".join([*who, *chosen, suffix]) + ".json"
                names.append(f"{above}/{sidecar}" if above else sidecar)
    return tuple(dict.fromkeys([*(path for path in names if path != own), own]))


def _levels(folder: str, labels: Mapping[str, str]) -> int:
    """How many folders there are from an image's up to its dataset's, in which the subject's lies."""
    level, at = 0, folder
    while level < LEVELS and at not in ("", "/"):
        level, at, name = level + 1, posixpath.dirname(at), posixpath.basename(at)
        if name == labels.get("sub"):
            return level
    return 0


def _within(folder: str, labels: Mapping[str, str]) -> bool:
    return labels.get("sub") in folder.split("/")


def _people(labels: Mapping[str, str]) -> list[list[str]]:
    sub, ses = ([labels[key]] if key in labels else [] for key in ("sub", "ses"))
    return [[], sub, [*sub, *ses]] if ses else [[], sub]


def parse_sidecars(files: Iterable[bytes]) -> dict[str, Any]:
    """Merge the values of several sidecars: later ones override earlier ones, broken ones are skipped."""
    merged: dict[str, Any] = {}
    for data in files:
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            merged |= values
    return merged


def sidecar_facts(values: Mapping[str, Any], name: str) -> dict[str, str | float]:
    """The facts of an image, with the names and units of :mod:`spinenet.readers.dicom.headers`.

    Parameters
    ----------
    values
        Result of :func:`parse_sidecars`.
    name
        File name of the image, whose words count as part of the description.
    """
    scanning = _words(values.get("ScanningSequence"))
    written = " ".join(_text(values.get(key)) for key in ("SeriesDescription", "ProtocolName"))
    named = posixpath.basename(sidecar_of(name)).removesuffix(".json").replace("_", " ")
    facts: dict[str, str | float | None] = {
        "manufacturer": known_maker(_text(values.get("Manufacturer"))),
        "model": known_model(
            _text(values.get("ManufacturersModelName") or values.get("ManufacturerModelName"))
        ),
        "field_strength": _number(values.get("MagneticFieldStrength")),
        "body_part": known_body_part(_text(values.get("BodyPartExamined") or values.get("BodyPart"))),
        "description": known_words(f"{written} {named}"),
        "scanning_sequence": " ".join(word for word in scanning if word in {"SE", "IR", "GR", "EP", "RM"}),
        "echo_time": _milliseconds(values, "EchoTime"),
        "repetition_time": _milliseconds(values, "RepetitionTime"),
        "inversion_time": _milliseconds(values, "InversionTime"),
        "slice_thickness": _number(values.get("SliceThickness")),
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def sidecar_sequence(values: Mapping[str, Any], name: str) -> str:
    """One of "T1", "T2", "STIR" and "other", by the rules that hold for DICOM; see :func:`sequence_of`."""
    scanning = _words(values.get("ScanningSequence"))
    written = [_text(values.get(key)) for key in ("SeriesDescription", "ProtocolName")]
    echo, repetition, inversion = (_milliseconds(values, key) for key in _SECONDS)
    return sequence_of(
        echo,
        repetition,
        inversion,
        inversion_recovery="IR" in scanning,
        gradient_echo="GR" in scanning,
        description=" ".join([*written, posixpath.basename(name).replace("_", " ")]),
    )


def other_modality(values: Mapping[str, Any]) -> bool:
    """Whether a sidecar's values state a modality that is not MR."""
    return _text(values.get("Modality")).upper() not in ("", "MR", "MRI")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return " ".join(part for part in value if isinstance(part, str)) if isinstance(value, list) else ""


def _words(value: Any) -> list[str]:
    return re.findall(r"[A-Z0-9]+", _text(value).upper())


def _number(value: Any) -> float | None:
    """A finite number, as such or as text."""
    try:
        number = (
            float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
        )
    except (ValueError, OverflowError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _milliseconds(values: Mapping[str, Any], key: str) -> float | None:
    number = _number(values.get(key))
    if number is None:
        return None
    return 1000.0 * number if abs(number) <= _SECONDS[key] else number
