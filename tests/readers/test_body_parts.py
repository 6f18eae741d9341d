"""Stated body parts, in the spellings of many scanners, are terms of DICOM; nothing else is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from spinenet.index.fast import siblings
from spinenet.index.heads import read_head
from spinenet.readers.dicom.body_parts import known_body_part, stated_body_part
from spinenet.readers.dicom.frames import Frame
from spinenet.readers.dicom.headers import read_frames
from spinenet.synthetic.enhanced import write_enhanced
from support.small_scans import edit, make_scan, save


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


def region(meaning: str = "", value: str = "") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def header(part: str, *regions: Dataset) -> Dataset:
    found = Dataset()
    found.BodyPartExamined, found.AnatomicRegionSequence = part, list(regions)
    return found


@pytest.mark.parametrize(
    ("part", "regions", "term"),
    [
        ("", [region("Knee")], "KNEE"),
        ("", [region("Lumbar spine")], "LSPINE"),
        ("", [region(value="T-D9200")], "KNEE"),
        ("", [region("columna", "72696002")], "KNEE"),
        ("", [region("Dr Mueller", "99")], ""),
        ("", [], ""),
        ("BODY", [region("Pelvis")], "PELVIS"),
        ("ABDOMEN", [region("Lumbar spine")], "LSPINE"),
        ("LSPINE", [region("Entire body")], "LSPINE"),
        ("LSPINE", [region("Knee")], "KNEE"),
        ("KNEE", [region("Lumbar spine")], "KNEE"),
        ("", [region("Pelvis"), region("Lumbar spine")], "LSPINE"),
    ],
)
def test_a_part_that_is_no_spine_counts_in_whichever_tag(
    part: str, regions: Sequence[Dataset], term: str
) -> None:
    assert stated_body_part(header(part, *regions)) == term


@pytest.mark.parametrize("name", [*codes.cid4031.dir(), *codes.cid4030.dir()])
def test_every_region_of_the_standard_is_known_by_code_and_meaning(name: str) -> None:
    code = getattr(codes, name, None) or getattr(codes.cid4031, name, None) or getattr(codes.cid4030, name)
    by_meaning = stated_body_part(header("", region(code.meaning)))
    assert by_meaning
    assert stated_body_part(header("", region(value=code.value))) == by_meaning


def parts(frames: Sequence[Frame]) -> set[object]:
    return {frame.facts.get("body_part") for frame in frames}


@pytest.mark.parametrize("open_ended", [False, True])
@pytest.mark.parametrize("implicit", [False, True])
def test_every_way_to_read_a_header_tells_the_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_ended: bool, implicit: bool
) -> None:
    monkeypatch.setattr(siblings, "_known", {})

    def change(dataset: pydicom.Dataset) -> None:
        dataset.BodyPartExamined = ""
        dataset.AnatomicRegionSequence = [region("Knee")]
        dataset["AnatomicRegionSequence"].is_undefined_length = open_ended
        if implicit:
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian

    paths = save(tmp_path / "classic", make_scan())
    edit(paths, change)
    for path in paths:
        with path.open("rb") as file:
            assert parts(read_head(path.name, file).frames) == {"KNEE"}
        assert parts(read_frames(path.name, path.read_bytes())) == {"KNEE"}
    # what is not plain is read by pydicom each time
    assert bool(siblings._known) != open_ended


@pytest.mark.parametrize("group", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
@pytest.mark.parametrize("sequence", ["FrameAnatomySequence", "UnassignedSharedConvertedAttributesSequence"])
def test_a_frame_has_its_region_in_its_groups(tmp_path: Path, group: str, sequence: str) -> None:
    write_enhanced(tmp_path / "enhanced.dcm", save(tmp_path / "classic", make_scan()))
    dataset = pydicom.dcmread(tmp_path / "enhanced.dcm")
    del dataset.BodyPartExamined
    for item in dataset[group].value:
        anatomy = Dataset()
        anatomy.AnatomicRegionSequence = [region("Brain")]
        setattr(item, sequence, [anatomy])
    dataset.save_as(tmp_path / "enhanced.dcm")
    assert parts(read_frames("enhanced", (tmp_path / "enhanced.dcm").read_bytes())) == {"BRAIN"}


def test_a_sequence_that_is_none_states_nothing(tmp_path: Path) -> None:
    paths = save(tmp_path, make_scan())
    edit(paths, lambda dataset: setattr(dataset, "AnatomicRegionSequence", [region("Knee")]))
    whole = paths[0].read_bytes()
    broken = whole.replace(b"\x08\x00\x18\x22SQ", b"\x08\x00\x18\x22OB")
    assert broken != whole
    assert parts(read_frames("broken", broken)) == {"SPINE"}
