"""The contrast of an image by its header: timing, image type, echo and temporal position."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from spinenet.readers.dicom.tags import Tags, number_of, text_of

_PARTS: Mapping[str, str] = MappingProxyType(
    {
        "W": "water",
        "WATER": "water",
        "F": "fat",
        "FAT": "fat",
        "IP": "in_phase",
        "IN_PHASE": "in_phase",
        "INPHASE": "in_phase",
        "OP": "out_phase",
        "OPP_PHASE": "out_phase",
        "OPPOSED_PHASE": "out_phase",
        "OUT_PHASE": "out_phase",
        "OUTPHASE": "out_phase",
        "P": "phase",
        "PHASE": "phase",
        "PHASE_MAP": "phase",
        "R": "real",
        "REAL": "real",
        "I": "imaginary",
        "IMAGINARY": "imaginary",
        "SUB": "subtraction",
        "SUBTRACTION": "subtraction",
        "ADC": "map",
        "T1_MAP": "map",
        "T2_MAP": "map",
        "T2_STAR_MAP": "map",
        "FF": "fat_fraction",
        "FAT_FRACTION": "fat_fraction",
        "MIP": "projection",
        "PROJECTION_IMAGE": "projection",
    }
)
"""What an image shows, by values of ImageType (0008,0008) from the third on. Other values, such as
NORM, ND or DIS2D, describe filters; M, a magnitude image, is the default."""

_FILTERS = frozenset(
    """
    ORIGINAL DERIVED PRIMARY SECONDARY M M_SE M_FFE M_IR MAGNITUDE SE FFE NORM ND DIS2D DIS3D FIL FM SH
    MFSPLIT OTHER NONE DIXON COMPOSED MPR AVERAGE MOCO RESAMPLED T1 T2 PD DIFFUSION TRACEW
    """.split()  # noqa: SIM905 - a table of words
)
_DESCRIBED = MappingProxyType(
    {"water": "water", "fat": "fat", "in_phase": "in phase", "out_phase": "opp phase"}
)
NO_ANATOMY = frozenset({"phase", "real", "imaginary", "subtraction", "map", "fat_fraction", "projection"})
"""Kinds of images whose intensities are not weighted by T1 or T2."""


@dataclass(frozen=True)
class Contrast:
    """Values by which images of one place differ; None or empty where the header lacks them.

    Attributes
    ----------
    echo_time, repetition_time, inversion_time
        EchoTime (0018,0081), RepetitionTime (0018,0080) and InversionTime (0018,0082), ms.
    scanning
        ScanningSequence (0018,0020).
    image_type
        Parts of an image that ImageType (0008,0008) names, such as water, joined by "+".
    echo_number, temporal_position, acquisition
        EchoNumbers (0018,0086), TemporalPositionIdentifier (0020,0100) and AcquisitionNumber (0020,0012).
    b_value, flip_angle
        DiffusionBValue (0018,9087) and FlipAngle (0018,1314).
    filters
        Other values of ImageType: known ones as they are, unknown ones as digests.
    """

    echo_time: float | None = None
    repetition_time: float | None = None
    inversion_time: float | None = None
    scanning: str = ""
    image_type: str = ""
    echo_number: float | None = None
    temporal_position: float | None = None
    acquisition: float | None = None
    b_value: float | None = None
    flip_angle: float | None = None
    filters: str = ""

    @property
    def described(self) -> str:
        """The image type in words of a series' description."""
        return " ".join(_DESCRIBED[part] for part in self.image_type.split("+") if part in _DESCRIBED)


def contrast_of(tags: Tags) -> Contrast:
    """The contrast of one image."""
    values = [re.sub(r"[^A-Z0-9]+", "_", word) for word in text_of(tags, "ImageType").upper().split("\\")]
    parts = {_PARTS[word] for word in values[2:] if word in _PARTS}
    rest = {word if word in _FILTERS else _digest(word) for word in values if word and word not in _PARTS}
    scanning = text_of(tags, "ScanningSequence").upper().split("\\")
    return Contrast(
        echo_time=number_of(tags, "EchoTime"),
        repetition_time=number_of(tags, "RepetitionTime"),
        inversion_time=number_of(tags, "InversionTime"),
        scanning=" ".join(sorted(term for term in scanning if term in {"SE", "IR", "GR", "EP"})),
        image_type="+".join(sorted(parts)),
        echo_number=number_of(tags, "EchoNumbers"),
        temporal_position=number_of(tags, "TemporalPositionIdentifier"),
        acquisition=number_of(tags, "AcquisitionNumber"),
        b_value=number_of(tags, "DiffusionBValue"),
        flip_angle=number_of(tags, "FlipAngle"),
        filters="+".join(sorted(rest)),
    )


def _digest(word: str) -> str:
    """Digest of a word that is not a DICOM term and might therefore name a person."""
    return "x" + hashlib.sha256(word.encode()).hexdigest()[:6]
