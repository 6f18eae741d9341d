"""Detections of a shard, kept so that grading again never detects again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from spinenet.cohort.layout import DETECTIONS, checkpoint_start, shard_of_checkpoint
from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.tables import from_parquet, to_parquet
from spinenet.storage import Store, digest
from spinenet.types import Vertebra

FORMAT_VERSION = 1

_SCHEMA = pa.schema(
    [
        ("scan_id", pa.string()),
        ("input_fingerprint", pa.string()),
        ("slices", pa.list_(pa.list_(pa.int32()))),
        ("corners", pa.list_(pa.list_(pa.float64()))),
    ],
    {"spinenet_detections": str(FORMAT_VERSION)},
)


@dataclass(frozen=True, eq=False)
class Detections:
    """The unlabelled vertebrae of one scan, in pixels of the square-pixel scan that was searched.

    Attributes
    ----------
    input_fingerprint
        Of the scan that they were found in; they count for no other.
    """

    input_fingerprint: str
    vertebrae: tuple[Vertebra, ...]


def detection_key(detector_digest: str, settings: Mapping[str, Any], rows: Iterable[Entry]) -> str:
    """What a shard's detections depend on, as one digest: weights, settings and the rows that it reads."""
    inputs = [[entry.scan_id, entry.path, entry.series_uid, dict(entry.overrides)] for entry in rows]
    facts = [FORMAT_VERSION, detector_digest, dict(settings), inputs]
    return digest(json.dumps(facts, sort_keys=True).encode())


def save_detections(store: Store, shard: int, key: str, detections: Mapping[str, Detections]) -> None:
    """Write a shard's checkpoint; ``detections`` are by scan_id."""
    rows = [
        {
            "scan_id": scan_id,
            "input_fingerprint": of_scan.input_fingerprint,
            "slices": [list(vertebra.slices) for vertebra in of_scan.vertebrae],
            "corners": [vertebra.quads.ravel().tolist() for vertebra in of_scan.vertebrae],
        }
        for scan_id, of_scan in detections.items()
    ]
    data = to_parquet(pa.Table.from_pylist(rows, schema=_SCHEMA))
    store.write(f"{DETECTIONS}/{checkpoint_start(shard, key)}{digest(data)[:16]}.parquet", data)


def by_shard(files: Iterable[str]) -> dict[int, list[str]]:
    """Names of checkpoints by their shard; other files are left out."""
    checkpoints: dict[int, list[str]] = {}
    for name in files:
        shard = shard_of_checkpoint(name)
        if shard is not None:
            checkpoints.setdefault(shard, []).append(name)
    return checkpoints


def load_detections(store: Store, files: Iterable[str], shard: int, key: str) -> dict[str, Detections]:
    """A shard's checkpoint by scan_id; empty where there is none for ``key`` or it is damaged.

    Parameters
    ----------
    files
        Names in :data:`spinenet.cohort.layout.DETECTIONS`, perhaps of other shards too; see :func:`by_shard`.
    """
    start = checkpoint_start(shard, key)
    for name in sorted(name for name in files if name.startswith(start)):
        data = store.read_many([f"{DETECTIONS}/{name}"]).get(f"{DETECTIONS}/{name}", b"")
        if digest(data)[:16] == name.removeprefix(start).removesuffix(".parquet"):
            return {row["scan_id"]: _detections(row) for row in from_parquet(data).to_pylist()}
    return {}


def _detections(row: Mapping[str, Any]) -> Detections:
    vertebrae = tuple(
        Vertebra(tuple(slices), np.array(corners, np.float64).reshape(-1, 4, 2))
        for slices, corners in zip(row["slices"], row["corners"], strict=True)
    )
    return Detections(row["input_fingerprint"], vertebrae)
