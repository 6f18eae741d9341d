"""A name, folder or URL of weights becomes a verified bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spinenet.errors import WeightsError
from spinenet.redaction import bare
from spinenet.weights.bundle import Bundle, verified_bundle
from spinenet.weights.description import DESCRIPTION_FILE, is_bundle
from spinenet.weights.names import NAMES, OPEN, PACKAGED, PUBLISHED, SYNTHETIC
from spinenet.weights.release import SPINENET_V2
from spinenet.weights.store import folder_of, is_url, store

if TYPE_CHECKING:
    from spinenet.weights.downloads import Progress


def resolve(weights: str | Path, *, download: bool = False, progress: Progress | None = None) -> Bundle:
    """The bundle of a name, folder or URL, each of its files read and compared with its digest once.

    Parameters
    ----------
    weights
        A name of :data:`NAMES`, a folder, or a URL of a bundle.
    download
        Whether a URL that is not in the store yet may be fetched. Weights whose terms must be accepted
        are never fetched here.
    progress
        See :data:`spinenet.weights.downloads.Progress`.

    Raises
    ------
    WeightsError
        If the bundle is not here (the message names the ways on), incomplete, or altered.

    Examples
    --------
    >>> from spinenet import weights
    >>> weights.resolve("synthetic").name
    'synthetic'
    """
    text = os.fspath(weights)
    folder = folder_of(weights)
    if is_bundle(folder):
        return verified_bundle(folder)
    if text == PUBLISHED:
        raise WeightsError(
            f"The weights '{PUBLISHED}' are not installed in {store()}: run `spinenet weights fetch"
            f" {PUBLISHED}` (in Python: `spinenet.download_weights()`; without a network: `spinenet weights"
            " import FOLDER`), or use small ones that come with the package: trained on drawn and some real"
            f" lumbar spines, `--weights {OPEN}`, or on drawn ones alone, `--weights {SYNTHETIC}`."
        )
    if text in PACKAGED:
        raise WeightsError(f"The package was installed without its '{text}' weights: install it again.")
    if is_url(text):
        if download:
            # with torch, which takes seconds to import
            from spinenet.weights.fetching import fetch

            return fetch(text, progress=progress)
        raise WeightsError(
            f"The bundle {bare(text)} is not in {store()}: fetch it with"
            f" `spinenet weights fetch {bare(text)}`, or use `--weights {OPEN}`."
        )
    if any((folder / item.path).exists() for item in SPINENET_V2.checkpoints.values()):
        raise WeightsError(
            f"{folder} holds published checkpoints, not a bundle: convert them with"
            f" `spinenet weights import {folder}`."
        )
    raise WeightsError(
        f"'{text}' is neither a folder with a {DESCRIPTION_FILE}, nor a URL, nor one of {', '.join(NAMES)}."
    )
