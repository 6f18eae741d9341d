"""A root becomes a manifest: its places in batches over the workers, headers alone, then the choice."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
from distributed import Client, Future, as_completed

from flows.addresses import check_cluster_name
from flows.cluster import CPU, cluster_address, connected, header_workers, wait_for_slots
from flows.server import prefect_api
from spinenet.errors import RootError, RunError
from spinenet.index.catalogue import NUMBERS, SERIES, check_place, choose_all, read_index, write_index
from spinenet.index.findings import Findings, scattered, to_look_at
from spinenet.index.packed import PackedRows
from spinenet.index.places import Place, as_url, joined
from spinenet.index.rules import load_rules
from spinenet.index.subjects import folder_subject, listed_subjects
from spinenet.index.survey import Survey, survey_all
from spinenet.index.unfinished import Account, drop_unfinished, read_unfinished
from spinenet.storage.redaction import has_secret, redacted, secret_refusal

FILES_PER_TASK = 1000
"""Files of one task, or one folder if it holds more: a million files are a thousand tasks."""
BATCHES_AHEAD = 3
"""Batches on the cluster for each worker's slot."""

Progress = Callable[[int, int], None]
"""Told how many files have been looked at and how many series were found."""


@dataclass(frozen=True)
class Subjects:
    """How subjects are named: a secret key hashes PatientID, a table lists paths, else folders do.

    Attributes
    ----------
    key
        Of the hash; empty for none.
    listed
        Subject id by path.
    """

    key: bytes = b""
    listed: Mapping[str, str] | None = None

    @property
    def mark(self) -> str:
        """What tells an index made with another key, without telling the key."""
        return hmac.new(self.key, b"spinenet index", "sha256").hexdigest()[:16] if self.key else "paths"


@dataclass(frozen=True)
class IndexSummary:
    """A finished index.

    Attributes
    ----------
    n_files, n_read
        Files below the root, and those of them whose headers were read now.
    bytes_read
        Of headers, now.
    purposes
        Series by "grading", "detection" or the reason why they are not used.
    seconds_reading
        Of walking and reading headers, without starting workers.
    """

    out: str
    n_files: int
    n_read: int
    n_series: int
    n_subjects: int
    bytes_read: int
    bytes_held: int
    purposes: Mapping[str, int]
    seconds_reading: float


def index_root(
    root: str,
    out: str,
    *,
    rules_text: str | None = None,
    subjects: Subjects = Subjects(),
    cluster: str = "local",
    progress: Progress | None = None,
) -> IndexSummary:
    """Find every series below a root, say which are usable and which is graded, and write the manifest.

    Parameters
    ----------
    root
        A folder, archive or file at any fsspec URL.
    out
        The manifest, at any fsspec URL; an index that is there, or was interrupted, is gone on with, and
        what has not changed since is not read again.
    rules_text
        TOML; None for the rules of the package.
    cluster
        As for :func:`flows.cohort.run_cohort`.

    Raises
    ------
    RulesError, ManifestError, ClusterNameError, OutputError
        Bad rules, a bad name of the manifest or of the cluster, or a place that cannot be written to.
    RootError
        There is no such root.
    StorageError
        The storage of the manifest refused.
    RunError
        The cluster failed, or somebody stopped it.
    """
    check_cluster_name(cluster)
    check_place(out)
    rules = load_rules(rules_text, SERIES.names, NUMBERS)
    earlier = read_unfinished(out, subjects.mark).over(read_index(out, subjects.mark))
    if not subjects.key:
        # folders or a table name subjects, and either may have changed
        earlier.rows = PackedRows({**row, "subject_id": None} for row in earlier.rows)
    if has_secret(root):
        raise RootError(secret_refusal(root))
    try:
        fs, base = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError) as error:
        raise RootError(f"cannot open {root}: {redacted(str(error))}") from error
    if not fs.exists(base):
        raise RootError(f"there is nothing at {root}; name a folder, an archive or a file")
    account = Account(out, subjects.mark, earlier)
    try:
        seconds = _survey(
            fs, base, root, account, subjects.key, cluster, progress or (lambda files, series: None)
        )
    except BaseException as error:
        account.save()
        if isinstance(error, Exception):
            raise
        # Ctrl-C, or what Prefect makes of a signal to end
        raise RunError("stopped; start it again and it goes on") from None
    found = account.found
    rows = PackedRows(choose_all(found.rows, rules, _namer(as_url(fs, base), subjects)))
    write_index(out, rows, found.places.values(), subjects.mark)
    drop_unfinished(out)
    return _summary(out, found, rows, seconds)


def _survey(
    fs: Any, base: str, root: str, account: Account, key: bytes, cluster: str, progress: Progress
) -> float:
    """Find out what lies below the root, and say in how many seconds. Nothing new needs no cluster."""
    unchanged: set[str] = set()
    started = time.monotonic()
    batches = _batches(to_look_at(fs, base, account.earlier, unchanged))
    first = next(batches, None)
    if first is not None:
        from flows.observer import needed_until

        with prefect_api(), cluster_address(cluster, header_workers) as address, connected(address) as client:
            slots = wait_for_slots(client, classes=(CPU,)).cpu
            started = time.monotonic()
            work = _Work(client, fs, key, BATCHES_AHEAD * slots, progress)
            through = threading.Event()
            with needed_until(through):
                _flow(work, first, batches, account, unchanged, through)(root=root)
    else:
        account.found.keep(account.earlier, unchanged)
    return time.monotonic() - started


@dataclass(frozen=True)
class _Work:
    client: Client
    fs: Any
    key: bytes
    in_flight: int
    progress: Progress


def _flow(
    work: _Work,
    first: Sequence[Place],
    rest: Iterator[Sequence[Place]],
    account: Account,
    unchanged: Collection[str],
    through: threading.Event,
) -> Any:
    """The Prefect flow: a task for the headers, and one for series that several folders share.

    ``through`` is set after both.
    """
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    @task(name="headers", cache_policy=NO_CACHE, persist_result=False)
    def headers() -> None:
        def every() -> Iterator[Sequence[Place]]:
            yield first
            yield from rest

        _through_cluster(work, every(), account)
        account.found.keep(account.earlier, unchanged)

    @task(name="scattered series", cache_policy=NO_CACHE, persist_result=False)
    def scattered_series() -> None:
        found = account.found
        for folders, uids in scattered(found.rows).items():
            place = joined(work.fs, folders)
            (result,) = _result(_submit(work, [place]))
            found.replace(uids, folders, result.rows)

    @flow(name="spinenet-index", persist_result=False, validate_parameters=False)
    def index(root: str) -> None:
        headers()
        scattered_series()
        through.set()

    return index


def _batches(places: Iterable[Place]) -> Iterator[Sequence[Place]]:
    batch: list[Place] = []
    files = 0
    for place in places:
        batch.append(place)
        files += len(place.files)
        if files >= FILES_PER_TASK:
            yield batch
            batch, files = [], 0
    if batch:
        yield batch


def _through_cluster(work: _Work, batches: Iterator[Sequence[Place]], account: Account) -> None:
    """A bounded window of batches, so that memory does not grow with the root."""
    files = 0
    flying = as_completed(loop=work.client.loop)
    for batch in batches:
        flying.add(_submit(work, batch))
        if flying.count() >= work.in_flight:
            files += _take(work, next(flying), account, files)
    for future in flying:
        files += _take(work, future, account, files)


def _submit(work: _Work, batch: Sequence[Place]) -> Future:
    return work.client.submit(survey_all, work.fs, batch, work.key, resources={CPU: 1}, pure=False)


def _take(work: _Work, future: Future, account: Account, before: int) -> int:
    """Take in what a worker found, tell it, and say how many files that were."""
    results = _result(future)
    for result in results:
        account.found.add(result)
    files = sum(result.n_files for result in results)
    work.progress(before + files, len(account.found.rows))
    account.save_if_due()
    return files


def _result(future: Future) -> list[Survey]:
    """What a worker found. Of an error only the kind is told: its text might quote a header or a path."""
    try:
        results: list[Survey] = future.result()
    except Exception as error:
        raise RunError(f"a worker could not read headers ({type(error).__name__}); start it again") from None
    future.release()
    return results


def _namer(base: str, subjects: Subjects) -> Callable[[str], str]:
    if subjects.listed is not None:
        return listed_subjects(subjects.listed, base)
    return lambda path: folder_subject(base, path)


def _summary(out: str, found: Findings, rows: PackedRows, seconds: float) -> IndexSummary:
    purposes: dict[str, int] = {}
    subjects: set[str] = set()
    bytes_held = 0
    for row in rows:
        what = str(row["purpose"] or row["reason"] or "no rule wants it")
        purposes[what] = purposes.get(what, 0) + 1
        subjects.add(row["subject_id"])
        bytes_held += row.get("bytes") or 0
    places = found.places.values()
    return IndexSummary(
        out=out,
        n_files=sum(place["n_files"] for place in places),
        n_read=sum(place["n_files"] for place in places if place["bytes_read"]),
        n_series=len(rows),
        n_subjects=len(subjects),
        bytes_read=sum(place["bytes_read"] for place in places),
        bytes_held=bytes_held,
        purposes=dict(sorted(purposes.items(), key=lambda item: (-item[1], item[0]))),
        seconds_reading=seconds,
    )
