"""Facts of a header from closed vocabularies, so that no person's name is passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "files_ignored": "files that are not DICOM lay beside the series",
        "unreadable_ignored": "DICOM files with a broken header lay beside the series",
        "objects_ignored": "reports, masks or other objects that are no images lay within the series",
        "series_ignored": "other series of the path are not usable, or were not named",
        "duplicate_files": "the same file was there twice, and was read once",
        "header_warnings": "the decoder found the header or the pixels odd but readable",
        "oblique": "the slices are oblique, within what is accepted",
        "sheared": "the slices did not lie straight behind one another, and were moved in their planes",
        "reformatted": "thin slices of a 3-D volume were averaged to sagittal slices of about 4 mm",
        "monochrome1": "the grey scale was inverted, and was turned round",
        "rescale_ignored": "a rescale slope or intercept made no sense and was not applied",
        "lossy": "the pixels were stored with loss",
        "overridden": "tags were replaced by values from the manifest",
        "side_assumed": "slices without position were put in order by number: left and right may be swapped",
        "not_finite": "voxels that were no numbers were set to zero",
        "levels_uncertain": "the vertebrae were found, but their names are improbable: look before use",
        "not_a_spine": "what was found does not stand as vertebrae do: other anatomy, a phantom, noise, or"
        " a spine of which too little was found; the scan gets no vertebrae and no grades",
        "outside_domain": "the weights are not stated to be for this sequence or region: see"
        " `spinenet weights list`",
        "uid_per_file": "each file had a SeriesInstanceUID of its own; what agrees in all else was joined",
        "padding_replaced": "pixels that the files mark as padding got the lowest value of the picture",
    }
)
"""Codes of the column ``flags`` and their meaning; inference sets ``levels_uncertain``, ``not_a_spine`` and
``outside_domain``, readers the rest."""


def _terms(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS = _terms(
    "t1 t2 t1w t2w pd stir tirm tse fse se gre ir flair dixon water fat fs sat ideal space cube vista mvxd"
    " sag sagittal cor coronal tra ax axial spine lspine cspine tspine lumbar lumbal cervical thoracic whole"
    " ws hws bws lws ls tl ct localizer loc scout survey post pre gd contrast 2d 3d dark"
    " fluid blade propeller mv in opp phase composed composing mpr iso frfse myelo"
    " brain head skull orbit orbits pituitary face tmj shoulder elbow wrist hand finger hip hips"
    " pelvis prostate uterus rectum bladder knee ankle foot leg thigh breast cardiac heart liver kidney"
    " abdomen abdominal chest thorax mrcp sij isg iliosacral sacroiliac"
    " columna colonne rachis lombaire wirbelsaeule lsp csp tsp thoracolumbar lumbosacral cervicothoracic ctl"
)
_MODEL_WORDS = _terms(
    "magnetom avanto aera skyra prisma trio verio symphony espree sola vida lumina altea essenza amira sempra"
    " free fit signa hdx hdxt hd excite explorer creator voyager artist architect premier pioneer optima"
    " discovery mr450 mr450w mr750 mr750w ingenia achieva intera ambition elition panorama multiva prodiva"
    " vantage titan elan galan orian atlas echelon oasis airis aperto umr"
)
_MAKERS = (
    "siemens",
    "ge medical",
    "philips",
    "canon",
    "toshiba",
    "hitachi",
    "fujifilm",
    "united imaging",
    "esaote",
    "fonar",
    "bruker",
    "spinenet synthetic",
)
_UID = re.compile(r"[0-9.]{1,64}")


def known_words(text: str) -> str:
    """The words of a protocol or series description that belong to MR's vocabulary, and no others."""
    words = re.split(r"[^a-z0-9]+", text.lower())
    return " ".join(word for word in words if word in _WORDS)


def known_model(text: str) -> str:
    """The words of a scanner's model name that are makers' names of models."""
    words = re.split(r"[^a-z0-9]+", text.lower())
    return " ".join(word for word in words if word in _MODEL_WORDS)


def known_maker(text: str) -> str:
    """A scanner's maker in lower case; empty where it is none of the known ones."""
    return next((maker for maker in _MAKERS if text.lower().startswith(maker)), "")


def known_uid(text: str) -> str:
    """A UID; empty where the text is none."""
    return text if _UID.fullmatch(text) else ""


def sequence_of(
    echo_ms: float | None,
    repetition_ms: float | None,
    inversion_ms: float | None,
    inversion_recovery: bool = False,
    gradient_echo: bool = False,
    description: str = "",
) -> str:
    """Name the contrast of a spine scan from its timing first, its description second.

    Parameters
    ----------
    echo_ms, repetition_ms, inversion_ms
        EchoTime (0018,0081), RepetitionTime (0018,0080), InversionTime (0018,0082) in ms; None if absent.
    inversion_recovery, gradient_echo
        Whether ScanningSequence (0018,0020) has IR, or GR.
    description
        Series or protocol description, or a file's name.

    Returns
    -------
    str
        "T1", "T2", "STIR" or "other".
    """
    text = description.lower()
    says_stir = re.search(r"stir|tirm", text) is not None
    # fat is nulled at 100 to 300 ms between 0.2 and 3 T; longer times null or mark other tissue
    if inversion_ms is not None and 80 <= inversion_ms <= 300 and (repetition_ms or 9999) > 1200:
        return "STIR"
    if says_stir and (inversion_recovery or inversion_ms is None):
        return "STIR"
    if echo_ms is not None and not gradient_echo:
        long_repetition = repetition_ms is None or repetition_ms >= 1500
        if echo_ms >= 60 and long_repetition and not (inversion_ms or 0) > 1400:
            return "T2"
        short_inversion = inversion_ms is not None and 300 < inversion_ms < 1400
        if echo_ms <= 35 and repetition_ms is not None and (repetition_ms <= 1200 or short_inversion):
            return "T1"
        # a description speaks of the whole series, and the first of two echoes is proton density
        if echo_ms <= 35 and repetition_ms is not None and repetition_ms >= 1500 and not inversion_ms:
            text = re.sub("t2", "", text)
    for mark in ("t2", "t1"):
        if re.search(rf"(?<![a-z0-9]){mark}(w|wi|tse|fse)?(?![a-z0-9*])", text):
            return mark.upper()
    return "other"
