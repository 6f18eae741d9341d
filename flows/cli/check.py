"""The command ``spinenet check``: reports which scans would run, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli.printing import SHOWN, Group, say, say_groups
from flows.cli.terminal import DONE, SOME_FAILED, Manifest, Types, Weights, duration
from spinenet.anatomy import REASONS
from spinenet.errors import WeightsError
from spinenet.weights.names import PUBLISHED

if TYPE_CHECKING:
    from spinenet.preflight.manifest_check import Preflight, Row
    from spinenet.storage import Store
    from spinenet.weights import Bundle
    from spinenet.weights.networks import Networks


def check(
    manifest: Manifest,
    weights: Weights = PUBLISHED,
    out: Annotated[str | None, typer.Option(help="Also say whether the run could go on here.")] = None,
    types: Types = None,
) -> None:
    """Say what would run and what would not; only headers are read, nothing is written."""
    from flows.cores import cores
    from spinenet.cohort.freeze import column_types
    from spinenet.cohort.manifests.column_types import ColumnTypes, parse_types
    from spinenet.preflight.manifest_check import NO_PROBLEM, check_manifest
    from spinenet.storage import open_output

    given = parse_types(types) if types else {}
    store = None if out is None else open_output(out)
    kinds = ColumnTypes(given) if store is None else column_types(store, given)
    with Console(stderr=True).status("reading headers"):
        preflight = check_manifest(manifest, processes=cores(), types=kinds)
    groups = preflight.groups
    say_groups(f"{len(preflight.rows)} rows in", manifest, _groups(groups))
    few = {what for what, rows in groups.items() if len(rows) <= SHOWN} - set(NO_PROBLEM)
    for row in preflight.rows:
        if row.what in few:
            say(f"{row.scan_id}: {row.what}: {row.detail}")
    bundle, networks = _weights(weights)
    _estimate(preflight, networks)
    if store is not None:
        say(_output(preflight, bundle, store))
    raise typer.Exit(SOME_FAILED if preflight.n_problems else DONE)


def _groups(groups: Mapping[str, Sequence[Row]]) -> Iterator[Group]:
    from spinenet.preflight.manifest_check import WOULD_RUN

    for what, rows in groups.items():
        names = [row.scan_id for row in rows[:SHOWN]] if what != WOULD_RUN else []
        yield Group(len(rows), what, REASONS.get(what, ""), names, len(rows) > len(names))


def _weights(weights: str) -> tuple[Bundle, Networks] | tuple[None, None]:
    from spinenet.weights import resolve
    from spinenet.weights.networks import load_networks

    try:
        bundle = resolve(weights)
        networks = load_networks(bundle)
    except WeightsError as error:
        say(f"Weights: {error}")
        return None, None
    say(f"Weights: {weights} is installed, fingerprint {bundle.fingerprint[:8]}")
    return bundle, networks


def _estimate(preflight: Preflight, networks: Networks | None) -> None:
    from spinenet.preflight.estimates import estimated_bytes, estimated_seconds

    scans = preflight.scans
    if not scans:
        return
    size = sum(scan.n_bytes for scan in scans)
    memory = estimated_bytes(scans)
    sentence = (
        f"{len(scans)} scans of {size / 1e9:.2f} GB; the largest takes about {memory / 1e6:.0f} MB to decode"
    )
    if networks is not None:
        seconds = estimated_seconds(scans, networks)
        sentence += f"; inference takes about {duration(seconds)} on this machine without a GPU"
    say(f"Estimate: {sentence}")


def _output(preflight: Preflight, bundle: Bundle | None, store: Store) -> str:
    from spinenet.cohort.freeze import differences
    from spinenet.cohort.plan import Conditions, load_plan
    from spinenet.settings import Settings

    plan = load_plan(store)
    if plan is None:
        return f"Output: {store.url()} holds no run; one would begin there"
    if bundle is None:
        return f"Output: {store.url()} holds a run; with which weights it would go on cannot be told"
    now = Conditions(bundle.name, bundle.fingerprint, bundle.digests, Settings().deciding)
    others = differences(plan, preflight.manifest, now)
    if others:
        return f"Output: {store.url()} was begun with {' and '.join(others)}; choose a new folder"
    return f"Output: {store.url()} holds this run, which would go on"
