"""Stated body parts, in the spellings of many scanners, are terms of DICOM; nothing else is told."""

from __future__ import annotations

import pytest

from spinenet.readers.body_parts import known_body_part


@pytest.mark.parametrize(
    ("stated", "term"),
    [
        ("LSPINE", "LSPINE"),
        ("L-Spine", "LSPINE"),
        ("LUMBAR SPINE", "LSPINE"),
        ("Lendenwirbels\u00e4ule", "LSPINE"),
        ("colonne vert\u00e9brale", "SPINE"),
        ("WIRBELSAEULE", "SPINE"),
        ("C-T SPINE", "CTSPINE"),
        ("RKNEE", "KNEE"),
        ("Knie links", "KNEE"),
        ("HEAD & NECK", "HEADNECK"),
        ("THORACICAORTA", "AORTA"),
        ("spine / head", "SPINE"),
        ("WHOLE BODY", "WHOLEBODY"),
        ("", ""),
        ("Dr Mueller", ""),
    ],
)
def test_spellings(stated: str, term: str) -> None:
    assert known_body_part(stated) == term
