"""A root becomes a manifest: its places in batches over the workers, headers alone, then the choice."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from flows.clusters.names import check_cluster_name
from flows.headers import Progress, log, quiet, survey
from flows.prefect_server.observer import observer
from flows.tasks import About, key_of
from spinenet.errors import RootError, RunError
from spinenet.index.catalogue import check_place, choose_all, read_index, write_index
from spinenet.index.given import given_key, given_subjects, given_text
from spinenet.index.imageless import imageless_rows
from spinenet.index.inventory import Inventory
from spinenet.index.packed import PackedRows
from spinenet.index.places import as_url
from spinenet.index.request import IndexRequest
from spinenet.index.rules import load_rules
from spinenet.index.schema import NUMBERS, SERIES
from spinenet.index.subjects import folder_subjects, listed_subjects
from spinenet.index.unfinished import Account, drop_unfinished, read_unfinished
from spinenet.printable import printable
from spinenet.redaction import has_secret, redacted, secret_refusal
from spinenet.storage.addresses import open_address

LONGEST_NAME = 80
"""Characters of what an index is called on Prefect's pages."""


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


def run_index(
    request: IndexRequest, *, progress: Progress | None = None, prefect: bool = True
) -> IndexSummary:
    """Do what is asked for; see :func:`index_root`.

    Raises
    ------
    ManifestError
        A file that the request names cannot be used; and all that :func:`index_root` raises.
    """
    return index_root(
        request.root,
        request.out,
        rules_text=None if request.rules is None else given_text(request.rules),
        subjects=Subjects(
            b"" if request.subject_key_file is None else given_key(request.subject_key_file),
            None if request.subjects is None else given_subjects(request.subjects),
        ),
        cluster=request.cluster,
        progress=progress,
        prefect=prefect,
        shown_as=about(request),
    )


def about(request: IndexRequest) -> About:
    """What Prefect shows an index as."""
    root = redacted(request.root)
    return About(
        flow="flows.index:index",
        name=printable(f"index of {root.rstrip('/').rsplit('/', 1)[-1] or root}", LONGEST_NAME),
        key=key_of(request.out),
        parameters={"request": request.model_dump(mode="json", exclude_defaults=True)},
        tags=("spinenet", "index"),
        tables=request.out,
    )


def index_root(
    root: str,
    out: str,
    *,
    rules_text: str | None = None,
    subjects: Subjects = Subjects(),
    cluster: str = "local",
    progress: Progress | None = None,
    prefect: bool = True,
    shown_as: About | None = None,
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
    cluster, prefect
        As for :func:`flows.cohort_run.run_cohort`.
    shown_as
        What Prefect shows; by default what a request of this root and manifest is shown as.

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
        fs, base = open_address(root)
    except (ImportError, ValueError) as error:
        raise RootError(f"cannot open {root}: {redacted(str(error))}") from error
    if not fs.exists(base):
        raise RootError(f"there is nothing at {root}; name a folder, an archive or a file")
    account = Account(out, subjects.mark, earlier)
    shown_as = shown_as or about(IndexRequest(root=root, out=out, cluster=cluster))
    with observer(prefect, log.info) as observing:
        try:
            seconds = survey(
                fs,
                base,
                account,
                subjects.key,
                observing,
                shown_as,
                cluster=cluster,
                progress=progress or quiet,
            )
        except BaseException as error:
            account.save()
            if isinstance(error, Exception):
                raise
            # Ctrl-C, or what Prefect makes of a signal to end
            raise RunError("stopped; start it again and it goes on") from None
        inventory = account.inventory
        url = as_url(fs, base)
        every = inventory.rows.copy()
        every.extend(imageless_rows(fs, base, inventory.places.values()))
        by_folders = folder_subjects(url, (row["path"] for row in every), rules.folders)
        listed = subjects.listed
        subject_of = by_folders if listed is None else listed_subjects(listed, url, by_folders)
        rows = PackedRows(choose_all(every, rules, subject_of, url))
        write_index(out, rows, inventory.places.values(), subjects.mark)
        drop_unfinished(out)
        observing.outcome = summary = _summary(out, inventory, rows, seconds)
    return summary


def _summary(out: str, inventory: Inventory, rows: PackedRows, seconds: float) -> IndexSummary:
    purposes: dict[str, int] = {}
    subjects: set[str] = set()
    bytes_held = 0
    for row in rows:
        what = str(row["purpose"] or row["reason"] or "no rule wants it")
        purposes[what] = purposes.get(what, 0) + 1
        subjects.add(row["subject_id"])
        bytes_held += row.get("bytes") or 0
    places = inventory.places.values()
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
