"""The rows that one scan becomes in the three tables of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spinenet.added_findings import AddedFinding
from spinenet.anatomy import FINDINGS
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.tables import HEADER_NUMBERS, HEADER_TEXTS, STAGES, Row, grid_columns
from spinenet.stages.levels import levels_uncertain
from spinenet.types import CORNERS, DiscGrade, FloatArray, Scan, SpineReading, Vertebra


@dataclass(frozen=True, eq=False)
class ScanFacts:
    """What a row says of a scan, without its voxels; attributes as in :class:`spinenet.types.Scan`."""

    shape: tuple[int, int, int]
    pixel_spacing: tuple[float, float]
    slice_spacing: float
    affine: FloatArray
    sequence: str
    header: Mapping[str, str | int | float]
    flags: tuple[str, ...]
    fingerprint: str

    @classmethod
    def of(cls, scan: Scan) -> ScanFacts:
        """Facts of a scan as stored, before any resampling."""
        return cls(
            scan.shape,
            scan.pixel_spacing,
            scan.slice_spacing,
            scan.affine,
            scan.sequence,
            dict(scan.header),
            scan.flags,
            scan.fingerprint,
        )


@dataclass(frozen=True)
class Provenance:
    """What made a row: name and fingerprint of the weights, versions of the code."""

    weights: str
    weights_fingerprint: str
    spinenet_version: str
    torch_version: str


@dataclass(frozen=True)
class ScanRows:
    """What one manifest row becomes: one row of ``scans`` and any number of the other two."""

    scan: Row
    vertebrae: tuple[Row, ...] = ()
    grades: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a scan has no result: a code of :data:`spinenet.anatomy.REASONS` and one sentence."""

    reason: str
    detail: str
    seconds: Mapping[str, float] = field(default_factory=dict)


def excluded_rows(entry: Entry) -> ScanRows:
    """The row of a scan that the manifest leaves out."""
    return ScanRows(_identity(entry) | {"status": "excluded", "detail": entry.note})


def failed_rows(
    entry: Entry, failure: Failure, provenance: Provenance, facts: ScanFacts | None = None
) -> ScanRows:
    """The row of a scan without a result; its geometry where it got as far as being read."""
    row = _identity(entry) | _made_by(provenance) | _seconds(failure.seconds)
    row |= {"status": "failed", "reason": failure.reason, "detail": failure.detail}
    return ScanRows(row | _geometry(facts) if facts else row)


def result_rows(
    entry: Entry,
    facts: ScanFacts,
    reading: SpineReading,
    provenance: Provenance,
    added: Sequence[AddedFinding] = (),
) -> ScanRows:
    """The rows of a scan that was read.

    Parameters
    ----------
    facts
        Of the scan as stored.
    reading
        Quads in pixels of the scan as stored; ``seconds`` may hold "read" beside the pipeline's stages.
    added
        Findings that the bundle adds.

    Returns
    -------
    ScanRows
        Where the reading is no spine, ``scans`` alone has a row: whoever queries ``vertebrae`` must not take
        the bones of a knee for L4 and L5.
    """
    identity = _identity(entry)
    scan = identity | _geometry(facts) | _made_by(provenance) | _seconds(reading.seconds)
    if reading.not_a_spine:
        return ScanRows(scan | _no_spine(facts, reading))
    flags = [*facts.flags, *(["levels_uncertain"] if levels_uncertain(reading.vertebrae) else [])]
    vertebrae = tuple(
        _unique(_vertebra_row(identity, facts, vertebra, added) for vertebra in reading.vertebrae)
    )
    grades = tuple(_unique(_grade_row(identity, grade, added) for grade in reading.grades))
    scan |= {
        "status": "done",
        "flags": flags,
        "n_vertebrae": len(vertebrae),
        "n_discs": len(grades),
        "failed_discs": [failure.level for failure in reading.failures],
        "detail": " ".join(f"{failure.level}: {failure.detail}" for failure in reading.failures) or None,
    }
    return ScanRows(scan, vertebrae, grades)


def _no_spine(facts: ScanFacts, reading: SpineReading) -> Row:
    """What ``scans`` says of a scan whose outlines are no spine."""
    return {
        "status": "done",
        "flags": [*facts.flags, "not_a_spine"],
        "n_vertebrae": 0,
        "n_discs": 0,
        "failed_discs": [],
        "detail": f"{len(reading.vertebrae)} outlines were found, which do not stand as vertebrae do",
    }


def _identity(entry: Entry) -> Row:
    return {"scan_id": entry.scan_id, "subject_id": entry.subject_id, "path": entry.path}


def _made_by(provenance: Provenance) -> Row:
    return dict(vars(provenance))


def _seconds(seconds: Mapping[str, float]) -> Row:
    return {f"seconds_{stage}": seconds.get(stage) for stage in STAGES}


def _geometry(facts: ScanFacts) -> Row:
    texts = {name: facts.header.get(name) for name in HEADER_TEXTS}
    numbers = {column: facts.header.get(name) for column, name in HEADER_NUMBERS.items()}
    return {
        **grid_columns(facts.shape, facts.pixel_spacing, facts.slice_spacing),
        "sequence": facts.sequence,
        **{name: None if text is None else str(text) for name, text in texts.items()},
        **{column: None if number is None else float(number) for column, number in numbers.items()},
        "flags": list(facts.flags),
        "input_fingerprint": facts.fingerprint,
    }


def _added_cells(probabilities: Mapping[str, FloatArray], added: Sequence[AddedFinding]) -> Row:
    """Cells of the findings of a bundle that this disc or vertebra has."""
    cells: Row = {}
    for finding in added:
        if finding.name in probabilities:
            cells |= finding.cells(probabilities[finding.name].tolist())
    return cells


def _vertebra_row(identity: Row, facts: ScanFacts, vertebra: Vertebra, added: Sequence[AddedFinding]) -> Row:
    quad = vertebra.mean_quad
    column, row = quad.mean(axis=0)
    centre = facts.affine @ np.array([row, column, float(np.mean(vertebra.slices)), 1.0])
    return {
        "scan_id": identity["scan_id"],
        "subject_id": identity["subject_id"],
        "level": vertebra.level,
        "level_probability": vertebra.level_probability,
        "slices": list(vertebra.slices),
        "mid_slice": vertebra.mid_slice,
        **{
            f"{name}_{axis}": float(quad[i, j])
            for i, name in enumerate(CORNERS)
            for j, axis in enumerate("xy")
        },
        **{f"centre_{axis}_mm": float(value) for axis, value in zip("xyz", centre, strict=False)},
        **_added_cells(vertebra.findings, added),
    }


def _grade_row(identity: Row, grade: DiscGrade, added: Sequence[AddedFinding]) -> Row:
    row: Row = {key: identity[key] for key in ("scan_id", "subject_id")}
    row |= {"level": grade.level, "mid_slice": grade.mid_slice}
    for finding in FINDINGS:
        probabilities = grade.probabilities[finding.name]
        row[finding.name] = finding.values[int(np.argmax(probabilities))]
        row |= {f"{finding.name}_p{v}": float(p) for v, p in zip(finding.values, probabilities, strict=True)}
        row[f"{finding.name}_expected"] = float(np.dot(finding.values, probabilities))
    return row | _added_cells(grade.probabilities, added)


def _unique(rows: Iterable[Row]) -> Iterable[Row]:
    """The first row of each level: decoding repeats one only for spines longer than there are levels."""
    seen: set[str] = set()
    for row in rows:
        if row["level"] not in seen:
            seen.add(row["level"])
            yield row
