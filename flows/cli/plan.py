"""The command ``spinenet plan``: the first piece of a run that an array of jobs does."""

from __future__ import annotations

from flows.cli.printing import say
from flows.cli.terminal import (
    Append,
    Device,
    Manifest,
    Out,
    Regrade,
    SecondsPerScan,
    ShardSize,
    SkipPenalty,
    Types,
    Weights,
    request_of,
)
from spinenet.settings import SHARD_SIZE
from spinenet.timelimit import SECONDS_PER_SCAN
from spinenet.weights.names import PUBLISHED


def plan(
    manifest: Manifest,
    out: Out,
    weights: Weights = PUBLISHED,
    device: Device = "auto",
    shard_size: ShardSize = SHARD_SIZE,
    seconds_per_scan: SecondsPerScan = SECONDS_PER_SCAN,
    skip_penalty: SkipPenalty = True,
    types: Types = None,
    append: Append = False,
    regrade: Regrade = False,
) -> None:
    """Freeze which scans are in which shards, for `spinenet shard` and `spinenet finalise` to go by."""
    from flows.about import about
    from spinenet.cohort.pieces import plan_run

    request = request_of(
        manifest=manifest,
        out=out,
        weights=weights,
        device=device,
        shard_size=shard_size,
        seconds_per_scan=seconds_per_scan,
        skip_penalty=skip_penalty,
        types=types,
        append=append,
        regrade=regrade,
        retry=None,
        retry_failed=False,
    )
    frozen = plan_run(request, about())
    last = frozen.n_shards - 1
    say(f"{frozen.n_rows} scans in {frozen.n_shards} shards, numbered 0 to {last}, are planned in {out}")
    say(f"Do them: spinenet shard {out} K, or in sbatch --array=0-{last}: spinenet shard {out} auto")
    say(f"Then write the tables: spinenet finalise {out}")
