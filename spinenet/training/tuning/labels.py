"""Labels of discs or vertebrae from a user's table, joined to those that a run found."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import fsspec

from spinenet.added_findings import HIGHEST_CODE, AddedFinding, is_column_name
from spinenet.cohort.manifests.columns import plain_name
from spinenet.cohort.manifests.files import read_columns
from spinenet.cohort.tables import schema
from spinenet.errors import LabelsError, ManifestError
from spinenet.printable import printable
from spinenet.training.splits import SIDES
from spinenet.training.tuning.found import FoundScan
from spinenet.training.tuning.request import FEWEST_POSITIVES, FinetuneRequest

_log = logging.getLogger(__name__)

_WHO = ("scan_id", "subject_id")
_ABSENT = {"", "na", "nan", "none", "null"}


@dataclass(frozen=True)
class Label:
    """One row of a table of labels: of whom, where, the code, and the side of a stated split."""

    scan_id: str | None
    subject: str | None
    place: str
    code: int
    side: str | None = None

    def __str__(self) -> str:
        who = [f"scan {self.scan_id}"] if self.scan_id else []
        return f"{', '.join([*who, *([f'subject {self.subject}'] if self.subject else [])])}, {self.place}"


@dataclass(frozen=True)
class Example:
    """A labelled disc or vertebra of the run; ``klass`` counts from 0."""

    scan_id: str
    subject: str
    place: str
    klass: int
    side: str | None = None


def read_labels(request: FinetuneRequest) -> tuple[AddedFinding, tuple[Label, ...]]:
    """The labels of a finding, and its coding; rows without a label are left out.

    Raises
    ------
    LabelsError
        The file cannot be read, lacks a column, or holds codes that are not known.
    """
    columns = _columns(request.labels)
    refuse_name(request)
    who = {name: _pick(columns, (name,)) for name in _WHO}
    if all(values is None for values in who.values()):
        raise LabelsError(
            f"{request.labels} has no column scan_id or subject_id, which say whose labels they are"
        )
    place = _needed(columns, (request.of, "level"), request.labels)
    told = _needed(columns, (request.label_column,), request.labels)
    stated = _needed(columns, (request.split,), request.labels) if request.split else [None] * len(told)
    words = {text.casefold(): code for code, text in request.codes.items()}
    labels = []
    for row, word in enumerate(told):
        if word.casefold() in words or word.casefold() not in _ABSENT:
            scan_id, subject = ((who[name] or [""] * len(told))[row] or None for name in _WHO)
            code = words.get(word.casefold(), _whole(word, request))
            side = stated[row]
            if side is not None and side not in SIDES:
                raise LabelsError(f"{request.split} holds {side!r}, which is no side: {', '.join(SIDES)}")
            labels.append(Label(scan_id, subject, _level(place[row]), code, side))
    return coded(request, labels), tuple(labels)


def refuse_name(request: FinetuneRequest) -> None:
    """Raise LabelsError where the finding cannot have its name: no column can, or a table has one of it."""
    name = request.finding
    if not is_column_name(name):
        raise LabelsError(
            f"{printable(name, 60)!r} cannot be a column: a finding's name has lower-case letters, digits "
            "and underscores, a letter first, and no more than 40 of them"
        )
    taken = {column for table in ("scans", "vertebrae", "grades") for column in schema(table).names}
    # of which probabilities would be taken for another finding's
    beginnings = {column.rpartition("_")[0] for column in taken if column.endswith(("_expected", "_p1"))}
    if name in taken or name in beginnings:
        raise LabelsError(f"the tables have a column {name!r} already; choose another --finding")


def coded(request: FinetuneRequest, labels: Sequence[Label]) -> AddedFinding:
    """The finding with the codes that were stated, else those of its scale and its labels.

    Raises
    ------
    LabelsError
        A label has a code that is not known, or there is one class only.
    """
    counts = Counter(label.code for label in labels)
    if not counts:
        raise LabelsError(f"no row of {request.labels} has a label in {request.label_column!r}")
    meanings = dict(request.codes)
    if not meanings and request.scale == "binary":
        meanings = {0: "absent", 1: "present"}
    known = set(meanings) if meanings else set(counts)
    unknown = sorted(set(counts) - known)
    if unknown:
        raise LabelsError(
            f"{request.label_column} has {sum(counts[c] for c in unknown)} labels with unknown codes "
            f"({', '.join(map(str, unknown[:5]))}); known are {', '.join(map(str, sorted(known)))}: correct "
            "them, or state all with --codes 0=absent,1=present"
        )
    if len(known) < 2:
        raise LabelsError(f"all labels of {request.label_column} are {next(iter(counts))}: one class only")
    codes = tuple(sorted(known))
    try:
        return AddedFinding(
            request.finding, request.of, request.scale, codes, tuple(meanings.get(c, str(c)) for c in codes)
        )
    except ValueError as error:
        raise LabelsError(f"{error}; see --codes and --scale") from error


def joined(
    request: FinetuneRequest,
    finding: AddedFinding,
    labels: Sequence[Label],
    subjects: Mapping[str, str],
    found: Sequence[FoundScan],
) -> tuple[Example, ...]:
    """Labels of the discs or vertebrae that the run has, each once.

    Parameters
    ----------
    subjects
        Subject of each scan of the run.
    found
        The scans that labels may be of.

    Raises
    ------
    LabelsError
        No label is of anything in the run, two contradict each other, a subject is on two sides of a stated
        split, or too few are left.
    """
    there = {(scan.entry.scan_id, place) for scan in found for place in scan.places(request.of)}
    by_subject: dict[str, list[str]] = {}
    for scan in found:
        by_subject.setdefault(scan.subject, []).append(scan.entry.scan_id)
    examples: dict[tuple[str, str], Example] = {}
    unmatched = []
    for label in labels:
        scans = [label.scan_id] if label.scan_id else by_subject.get(label.subject or "", [])
        keys = [(scan_id, label.place) for scan_id in scans if (scan_id, label.place) in there]
        keys = [key for key in keys if not label.subject or subjects[key[0]] == label.subject]
        if not keys:
            unmatched.append(label)
        for key in keys:
            klass = finding.codes.index(label.code)
            example = Example(key[0], subjects[key[0]], key[1], klass, label.side)
            if examples.setdefault(key, example) != example:
                raise LabelsError(f"two labels of {label} contradict each other in {request.labels}")
    _tell_unmatched(request, unmatched, len(labels), subjects, sorted(there))
    chosen = tuple(examples[key] for key in sorted(examples))
    refuse_sides(request, chosen)
    refuse_few(finding, chosen)
    return chosen


def _tell_unmatched(
    request: FinetuneRequest,
    unmatched: Sequence[Label],
    of: int,
    subjects: Mapping[str, str],
    there: Sequence[tuple[str, str]],
) -> None:
    if not unmatched:
        return
    scan_id, place = there[0] if there else (next(iter(subjects), "none"), f"no {request.of}")
    sentence = (
        f"{len(unmatched)} of {of} labels are of no {request.of} of the run in {request.out}: the labels "
        f"have, say, {unmatched[0]}, and the run has scan {scan_id}, subject {subjects.get(scan_id)}, {place}"
    )
    if len(unmatched) == of:
        raise LabelsError(sentence)
    _log.warning("%s", sentence)


def refuse_sides(request: FinetuneRequest, examples: Iterable[Example]) -> None:
    """Raise LabelsError where a stated split has a subject on two sides, or does not say all."""
    sides: dict[str, str | None] = {}
    for example in examples:
        if sides.setdefault(example.subject, example.side) != example.side:
            raise LabelsError(
                f"the subject {example.subject!r} is on two sides of {request.split!r}: "
                f"{sides[example.subject]} and {example.side}"
            )


def refuse_few(finding: AddedFinding, examples: Sequence[Example]) -> None:
    """Raise LabelsError where the labels that were found in the run are of one class, or too few."""
    counts = Counter(example.klass for example in examples)
    if len(counts) < 2:
        only = finding.codes[next(iter(counts))]
        raise LabelsError(
            f"all {len(examples)} labels of {finding.name} in the run are {only}: one class only"
        )
    positives = len(examples) - counts[0]
    if positives < FEWEST_POSITIVES:
        raise LabelsError(
            f"{finding.name} has {positives} positive labels in the run, of codes other than "
            f"{finding.codes[0]}; at least {FEWEST_POSITIVES} are needed"
        )


def with_sides(examples: Sequence[Example], sides: Mapping[str, str]) -> tuple[Example, ...]:
    """Examples on the sides of their subjects."""
    return tuple(replace(example, side=sides[example.subject]) for example in examples)


def _columns(url: str) -> dict[str, list[str]]:
    try:
        with fsspec.open(url, "rb", compression="infer") as stream:
            data = stream.read()
        columns = read_columns(url, data)
    except FileNotFoundError:
        raise LabelsError(f"there is no file {url}") from None
    except (OSError, ManifestError) as error:
        raise LabelsError(str(error).replace("manifest", "table of labels")) from error
    return {column.name: [_text(value) for value in column.values.to_pylist()] for column in columns}


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(int(value) if isinstance(value, bool) else value).strip()


def _pick(columns: Mapping[str, list[str]], names: Iterable[str | None]) -> list[str] | None:
    for name in names:
        for column, values in columns.items():
            if name and plain_name(column) == plain_name(name):
                return values
    return None


def _needed(columns: Mapping[str, list[str]], names: Sequence[str | None], where: str) -> list[str]:
    values = _pick(columns, names)
    if values is None:
        there = ", ".join(printable(column, 40) for column in list(columns)[:20])
        raise LabelsError(f"{where} has no column {names[0]!r}; its columns are {there}")
    return values


def _level(text: str) -> str:
    """The name in the tables of what is written l4/l5, L4 - L5 or L4_L5: "L4-L5"; of l4, "L4"."""
    return "-".join(part.strip().upper() for part in text.replace("/", "-").replace("_", "-").split("-"))


def _whole(word: str, request: FinetuneRequest) -> int:
    try:
        number = float(word)
    except ValueError:
        number = float("nan")
    if not number.is_integer() or not 0 <= number <= HIGHEST_CODE:
        raise LabelsError(
            f"{request.label_column} holds the unknown code {printable(word, 40)!r}: codes are whole numbers "
            f"from 0 to {HIGHEST_CODE}, or words that --codes 0=absent,1=present states"
        )
    return int(number)
