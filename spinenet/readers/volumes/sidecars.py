"""JSON files that BIDS puts beside an image or above it: what they say counts as a DICOM header's tags do."""

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
"""Of a sidecar that is read."""

_ENDINGS = (".nii.gz", ".img.gz", ".hdr.gz", ".nii", ".img", ".hdr", ".mha", ".mhd")
LEVELS = 3
"""Folders above an image's own that hold sidecars for it: of the session, the subject and the dataset."""
_MOST_ENTITIES = 5
"""Entities of a name besides subject and session of which all selections are tried."""

_SECONDS = {"EchoTime": 1.0, "RepetitionTime": 60.0, "InversionTime": 15.0}
"""Times, which BIDS has in seconds, and the longest of each that can be seconds; beyond, they are ms."""


def sidecar_of(volume: str) -> str:
    """The JSON file that BIDS puts beside an image of this path."""
    for ending in _ENDINGS:
        if volume.lower().endswith(ending):
            return volume[: -len(ending)] + ".json"
    return volume + ".json"


def sidecar_names(volume: str) -> tuple[str, ...]:
    """Paths at which JSON files for an image may lie, the one that counts most last.

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
        # what lies above a subject's folder is of no one subject
        people = [[]] if level == LEVELS or not _within(above, labels) else _people(labels)
        for chosen in (list(some) for n in range(len(others) + 1) for some in combinations(others, n)):
            for who in people:
                sidecar = "_".join([*who, *chosen, suffix]) + ".json"
                names.append(f"{above}/{sidecar}" if above else sidecar)
    return tuple(dict.fromkeys([*(one for one in names if one != own), own]))


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
    """The values of several sidecars, where later ones come first; a broken one says nothing."""
    said: dict[str, Any] = {}
    for data in files:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            said |= found
    return said


def sidecar_facts(said: Mapping[str, Any], name: str) -> dict[str, str | float]:
    """What may be told of an image, with the names and units that :mod:`spinenet.readers.dicom.headers` has.

    Parameters
    ----------
    said
        Of :func:`parse_sidecars`.
    name
        The image's file name, whose words count as a description does.
    """
    scanning = _words(said.get("ScanningSequence"))
    written = " ".join(_text(said.get(key)) for key in ("SeriesDescription", "ProtocolName"))
    named = posixpath.basename(sidecar_of(name)).removesuffix(".json").replace("_", " ")
    facts: dict[str, str | float | None] = {
        "manufacturer": known_maker(_text(said.get("Manufacturer"))),
        "model": known_model(_text(said.get("ManufacturersModelName") or said.get("ManufacturerModelName"))),
        "field_strength": _number(said.get("MagneticFieldStrength")),
        "body_part": known_body_part(_text(said.get("BodyPartExamined") or said.get("BodyPart"))),
        "description": known_words(f"{written} {named}"),
        "scanning_sequence": " ".join(word for word in scanning if word in {"SE", "IR", "GR", "EP", "RM"}),
        "echo_time": _milliseconds(said, "EchoTime"),
        "repetition_time": _milliseconds(said, "RepetitionTime"),
        "inversion_time": _milliseconds(said, "InversionTime"),
        "slice_thickness": _number(said.get("SliceThickness")),
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def sidecar_sequence(said: Mapping[str, Any], name: str) -> str:
    """One of "T1", "T2", "STIR" and "other", by the rules that hold for DICOM; see :func:`sequence_of`."""
    scanning = _words(said.get("ScanningSequence"))
    written = [_text(said.get(key)) for key in ("SeriesDescription", "ProtocolName")]
    echo, repetition, inversion = (_milliseconds(said, key) for key in _SECONDS)
    return sequence_of(
        echo,
        repetition,
        inversion,
        inversion_recovery="IR" in scanning,
        gradient_echo="GR" in scanning,
        description=" ".join([*written, posixpath.basename(name).replace("_", " ")]),
    )


def other_modality(said: Mapping[str, Any]) -> bool:
    """Whether the sidecar states a modality that is not MR."""
    return _text(said.get("Modality")).upper() not in ("", "MR", "MRI")


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


def _milliseconds(said: Mapping[str, Any], key: str) -> float | None:
    number = _number(said.get(key))
    if number is None:
        return None
    return 1000.0 * number if abs(number) <= _SECONDS[key] else number
