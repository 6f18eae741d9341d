"""A run without models, in this process or in one of its own: the plan, every shard's parts and commit.

    python tests/support/run_without_models.py OUT NAME N_ROWS SHARD_SIZE GO

waits for the file GO, does every shard in an order of its own, and prints the plan's shard size and the
shards whose commit was its own.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import pyarrow as pa

from spinenet.cohort.checkpoints import Detections, save_detections
from spinenet.cohort.freeze import freeze
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.manifests.manifest import Manifest
from spinenet.cohort.plan import Conditions
from spinenet.cohort.tables import to_table
from spinenet.storage import Store

CONDITIONS = Conditions("tiny", "f" * 64, {"detector.safetensors": "0" * 64}, {"skip_penalty": True})


def manifest_of(n_rows: int) -> Manifest:
    """Rows that name no files."""
    ids = [f"s{i}" for i in range(n_rows)]
    blank = pa.nulls(n_rows, pa.string())
    columns = {"scan_id": ids, "path": ids, "subject_id": blank, "series_uid": blank, "exclude": blank}
    return Manifest("m.csv", pa.table({**columns, "age": list(range(n_rows))}))


def begin(store: Store, n_rows: int, shard_size: int) -> Ledger:
    """The ledger of a run that is begun or gone on with."""
    return Ledger(store, freeze(store, manifest_of(n_rows), CONDITIONS, shard_size=shard_size, about={}))


def do_shard(ledger: Ledger, index: int, by: str, generation: int = 0) -> bool:
    """Checkpoint, stage and commit a shard; whether the commit that counts is this one."""
    shard = ledger.plan.shard(index)
    rows = [{"scan_id": e.scan_id, "status": "done", "detail": by} for e in shard.entries]
    found = {entry.scan_id: Detections("a" * 64, ()) for entry in shard.entries}
    save_detections(ledger.store, index, "k" * 64, found)
    empty = {name: to_table(name, []) for name in ("vertebrae", "grades")}
    parts = ledger.stage(index, {"scans": to_table("scans", rows, shard.carried), **empty})
    return ledger.commit(Commit(index, generation, parts, {"done": len(rows)}))


def main() -> None:
    """One of several that do the same run at once."""
    out, by, n_rows, shard_size, go = sys.argv[1:]
    store = Store.at(out)
    Path(go).with_name(f"ready-{by}").touch()
    while not Path(go).exists():
        time.sleep(0.001)
    ledger = begin(store, int(n_rows), int(shard_size))
    order = list(range(ledger.plan.n_shards))
    random.Random(by).shuffle(order)
    won = [index for index in order if do_shard(ledger, index, by)]
    sys.stdout.write(json.dumps({"shard_size": ledger.plan.shard_size, "won": sorted(won)}))


if __name__ == "__main__":
    main()
