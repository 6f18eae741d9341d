"""Fetches weights into the store, after their terms are accepted and their files verified."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock

from spinenet.errors import LicenceNotAccepted, WeightsError
from spinenet.redaction import bare
from spinenet.storage.disk import move_folder
from spinenet.weights.bundle import Bundle
from spinenet.weights.description import (
    DESCRIPTION_FILE,
    is_bundle,
    parse_description,
    sha256_of,
    weights_files,
)
from spinenet.weights.downloads import Progress, download, forget, storage_errors
from spinenet.weights.names import NAMES, PACKAGED, PUBLISHED
from spinenet.weights.published import import_published, read_checkpoint
from spinenet.weights.release import SPINENET_V2, Release
from spinenet.weights.store import folder_of, is_url, store, verify

MANIFEST_FILE = "SHA256SUMS"
"""File of digests that a mirror may serve; the published site has none."""
_log = logging.getLogger(__name__)


def fetch(
    weights: str = PUBLISHED,
    accept_licence: bool = False,
    *,
    base_url: str | None = None,
    digests: Mapping[str, str] | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Bring weights into the store, verified; those already there are only verified.

    Parameters
    ----------
    weights
        "spinenet-v2" or the URL of a bundle.
    accept_licence
        Whether the user has read and accepted the terms (``spinenet.weights.release.PUBLISHED_TERMS``, or a
        bundle's own ``licence`` where it demands that).
    base_url
        A mirror of the published files; by default the variable SPINENET_WEIGHTS_URL, else the
        publisher's own site.
    digests
        Published path, such as "context/ckpt16.pt", to expected SHA-256. A mirror's SHA256SUMS is read too.
    force
        Fetch again what is already there.
    progress
        See :data:`spinenet.weights.downloads.Progress`.

    Returns
    -------
    Bundle
        What is in the store now.

    Raises
    ------
    LicenceNotAccepted
        If terms were not accepted.
    WeightsError
        One sentence for whatever else went wrong; no incomplete bundle is left.
    """
    if weights in PACKAGED:
        return verify(folder_of(weights))
    if weights == PUBLISHED:
        mirror = base_url or os.environ.get("SPINENET_WEIGHTS_URL")
        return fetch_release(
            SPINENET_V2,
            accept_licence,
            mirror=mirror,
            digests=digests,
            force=force,
            progress=progress,
        )
    if is_url(weights):
        return _fetch_bundle(weights, accept_licence, force, progress)
    raise WeightsError(f"'{weights}' cannot be fetched: it is neither a URL nor one of {', '.join(NAMES)}.")


def fetch_release(
    release: Release,
    accept_licence: bool = False,
    *,
    mirror: str | None = None,
    digests: Mapping[str, str] | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Fetch four published checkpoints and convert them to the bundle of that name; see :func:`fetch`."""
    target = store() / release.name
    if not force and is_bundle(target):
        return verify(target)
    _demand_acceptance(release.name, accept_licence)
    with _locked(target):
        if not force and is_bundle(target):
            return verify(target)  # another process fetched it meanwhile
        staging = store() / "downloads" / release.name
        base = (mirror or release.base_url).rstrip("/")
        wanted = {**(_manifest(base, staging) if mirror else {}), **(digests or {})}
        for part, item in release.checkpoints.items():
            path = staging / item.path
            _download_if_missing(f"{base}/{item.path}", path, wanted.get(item.path), progress)
            try:
                read_checkpoint(staging, part, release)
            except WeightsError:
                forget(path)
                raise
        bundle = import_published(staging, target, release)
        shutil.rmtree(staging, ignore_errors=True)
    return bundle


def terms_of(weights: str) -> str | None:
    """The terms that :func:`fetch` demands acceptance of; None where it demands none.

    Raises
    ------
    WeightsError
        If ``weights`` is a URL and no bundle can be read there.
    """
    if weights == PUBLISHED:
        return SPINENET_V2.terms
    if not is_url(weights):
        return None
    with tempfile.TemporaryDirectory() as folder:  # not in the store, where another process may be at work
        description = _fetch_description(weights, Path(folder))
    return str(description["licence"]) if description.get("acceptance_required") else None


def _fetch_bundle(url: str, accept_licence: bool, force: bool, progress: Progress | None) -> Bundle:
    target = folder_of(url)
    if not force and is_bundle(target):
        return verify(target)
    with _locked(target):
        if not force and is_bundle(target):
            return verify(target)
        staging = store() / "downloads" / target.name
        base = url.rstrip("/")
        description = _fetch_description(url, staging)
        if description.get("acceptance_required"):
            _demand_acceptance(bare(url), accept_licence)
        for name in weights_files(description, bare(url)):
            sha256 = description["files"][name]
            _download_if_missing(f"{base}/{name}", staging / name, sha256, progress)
        try:
            bundle = verify(staging)
        except WeightsError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        with storage_errors(target):
            move_folder(staging, target)
    return replace(bundle, folder=target)


def _download_if_missing(url: str, path: Path, sha256: str | None, progress: Progress | None) -> None:
    # an earlier attempt may have downloaded this file
    if path.exists() and (sha256 is None or sha256_of(path) == sha256.lower()):
        return
    download(url, path, sha256=sha256, progress=progress)


def _fetch_description(url: str, folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION_FILE
    address = f"{url.rstrip('/')}/{DESCRIPTION_FILE}"
    forget(path)
    download(address, path)
    return parse_description(path.read_text(encoding="utf-8", errors="replace"), bare(address))


def _demand_acceptance(name: str, accepted: bool) -> None:
    if not accepted:
        raise LicenceNotAccepted(
            f"'{name}' comes under terms of its own, which must be accepted first: read them with"
            f" `spinenet weights fetch {name}`, then accept there, or with --accept-licence."
        )


def _manifest(base: str, staging: Path) -> dict[str, str]:
    path = staging / MANIFEST_FILE
    forget(path)
    try:
        download(f"{base}/{MANIFEST_FILE}", path)
    except WeightsError as error:
        if "status 404" in str(error):
            return {}
        raise
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {pieces[1].lstrip("*").removeprefix("./"): pieces[0] for pieces in lines if len(pieces) == 2}


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock of a bundle's folder in the store, so that one process at a time writes to it."""
    path = target.parent / f".{target.name}.lock"
    with storage_errors(target):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            _log.info("Another process is fetching %s; waiting for it.", target.name)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
