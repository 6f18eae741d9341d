"""What a finished run found: its vertebrae with their names, from its checkpoints and its tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spinenet.added_findings import Of
from spinenet.cohort.checkpoints import by_shard, detection_key, load_detections
from spinenet.cohort.layout import DETECTIONS
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.plan import Plan, planned
from spinenet.cohort.results import Results, success_bytes
from spinenet.errors import RunError
from spinenet.geometry import rescale_quads
from spinenet.settings import Settings
from spinenet.stages.crops import disc_pairs
from spinenet.storage import Store
from spinenet.types import CORNERS, Vertebra
from spinenet.weights.description import file_name

_SAME_PX = 1e-3

_Row = tuple[str, tuple[int, ...], npt.NDArray[np.float64]]
"""Level, slices and mean corners (8,) of a vertebra in stored pixels."""


@dataclass(frozen=True, eq=False)
class FoundScan:
    """A scan of the run in which a spine was found.

    Attributes
    ----------
    subject
        Whom it shows; the scan's own name where the manifest does not say.
    vertebrae
        In pixels of the square-pixel scan, with the names that the run gave them.
    input_fingerprint
        Of the scan that they were found in.
    """

    entry: Entry
    subject: str
    vertebrae: tuple[Vertebra, ...]
    input_fingerprint: str

    def places(self, of: Of) -> tuple[str, ...]:
        """Names of its discs, or of its vertebrae."""
        if of == "disc":
            return tuple(dict.fromkeys(pair.level for pair in disc_pairs(self.vertebrae)))
        return tuple(dict.fromkeys(v.level for v in self.vertebrae if v.level))


@dataclass(frozen=True)
class FinishedRun:
    """A run that has its tables."""

    store: Store
    plan: Plan
    results: Results

    @classmethod
    def at(cls, out: str) -> FinishedRun:
        """The run in a folder; RunError where none is finished there."""
        store = Store.at(out)
        success_bytes(store)
        return cls(store, planned(store), Results(store))

    @property
    def weights(self) -> str:
        """Source of the weights that it was begun with."""
        asked: Mapping[str, Any] = self.plan.record["about"].get("request", {})
        return str(asked.get("weights") or self.plan.record["conditions"]["weights"])

    @cached_property
    def subjects(self) -> Mapping[str, str]:
        """Subject of each scan that was read, by scan_id; scans that show no spine are left out."""
        table = self.results.table("scans", ["scan_id", "subject_id", "status", "flags"])
        done = table[(table["status"] == "done") & ~table["flags"].map(lambda f: "not_a_spine" in list(f))]
        named = zip(done["scan_id"], done["subject_id"], strict=True)
        return {scan_id: subject if isinstance(subject, str) else scan_id for scan_id, subject in named}

    def found(self, scan_ids: Collection[str]) -> Iterator[FoundScan]:
        """Some of its scans, with what was detected in them.

        Raises
        ------
        RunError
            Checkpoints of detections are not there any more.
        """
        rows, spacings = self._rows(), self._spacings()
        conditions = self.plan.record["conditions"]
        settings = Settings(**conditions["settings"]).deciding_detections
        files = by_shard(self.store.sizes(DETECTIONS))
        for index in range(self.plan.n_shards):
            shard = self.plan.shard(index)
            wanted = [entry for entry in shard.entries if entry.scan_id in scan_ids and entry.scan_id in rows]
            if not wanted:
                continue
            key = detection_key(conditions["digests"][file_name("detector")], settings, shard.entries)
            kept = load_detections(self.store, files.get(index, ()), index, key)
            for entry in wanted:
                if entry.scan_id not in kept:
                    raise RunError(
                        f"the detections of {entry.scan_id} are not in {self.store.url()} any more; do the "
                        "run again with --regrade"
                    )
                named = _named(kept[entry.scan_id].vertebrae, rows[entry.scan_id], spacings[entry.scan_id])
                yield FoundScan(
                    entry, self.subjects[entry.scan_id], named, kept[entry.scan_id].input_fingerprint
                )

    def _rows(self) -> dict[str, list[_Row]]:
        """Rows of ``vertebrae`` by scan_id."""
        corners = [f"{corner}_{axis}" for corner in CORNERS for axis in "xy"]
        table = self.results.table("vertebrae", ["scan_id", "level", "slices", *corners])
        places = table[corners].to_numpy(np.float64)
        rows: dict[str, list[_Row]] = {}
        for scan_id, level, slices, place in zip(
            table["scan_id"], table["level"], table["slices"], places, strict=True
        ):
            rows.setdefault(scan_id, []).append((level, tuple(slices), place))
        return rows

    def _spacings(self) -> dict[str, tuple[float, float]]:
        """(row, column) spacing in mm of each scan by scan_id."""
        columns = ["scan_id", "row_spacing_mm", "column_spacing_mm"]
        table = self.results.table("scans", columns)
        return {
            scan_id: (float(row_mm), float(column_mm))
            for scan_id, row_mm, column_mm in zip(*(table[name] for name in columns), strict=True)
        }


def _named(
    detected: tuple[Vertebra, ...],
    rows: list[_Row],
    spacing: tuple[float, float],
) -> tuple[Vertebra, ...]:
    """Detections with the levels of the table's rows, which are in the same order; "" for any without one."""
    square = (min(spacing), min(spacing))
    named, left = [], list(rows)
    for vertebra in detected:
        mean = rescale_quads(vertebra.quads, square, spacing).mean(axis=0).ravel()
        same = bool(left) and left[0][1] == vertebra.slices and np.allclose(left[0][2], mean, atol=_SAME_PX)
        named.append(replace(vertebra, level=left.pop(0)[0]) if same else vertebra)
    return tuple(named)
