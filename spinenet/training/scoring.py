"""Scores a bundle on synthetic scans whose seeds no training uses."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch

from spinenet.cohort.manifests.manifest import Entry
from spinenet.cohort.rows import Provenance, ScanFacts, result_rows
from spinenet.cohort.tables import Row, to_table
from spinenet.evaluation import Score, score_tables
from spinenet.inference.pipeline import read_spine
from spinenet.synthetic.cohort import disc_truth, vertebra_truth
from spinenet.synthetic.image import render
from spinenet.training.side_by_side import side_by_side
from spinenet.weights import resolve
from spinenet.weights.networks import Networks

logger = logging.getLogger(__name__)

FIRST_SEED = 500_000
"""First seed of the scored scans: below the training seeds, above those of the demonstration."""
GROUPS: tuple[tuple[str, str, tuple[str, ...], int], ...] = (
    ("lumbar T2", "lumbar", ("T2",), 50),
    ("lumbar T1 or STIR", "lumbar", ("T1", "STIR"), 25),
    ("cervical", "cervical", ("T2", "T1", "STIR"), 20),
    ("whole spine", "whole", ("T2", "T1", "STIR"), 25),
)
"""(name, kind, contrasts taken in turn, number of scans) of each group."""

_Job = tuple[str, str, str, int]
_Tables = tuple[list[Row], list[Row], list[Row], list[Row]]


def _jobs(share: float, first_seed: int) -> Iterator[_Job]:
    seed = first_seed
    for group, kind, sequences, scans in GROUPS:
        for i in range(max(1, round(scans * share))):
            yield group, kind, sequences[i % len(sequences)], seed
            seed += 1


def _read(made_by: Provenance, networks: Networks, job: _Job) -> tuple[str, _Tables]:
    group, kind, sequence, seed = job
    phantom, name = render(seed, kind=kind, sequence=sequence), f"{group}-{seed}"
    reading = read_spine(phantom.scan, networks)
    rows = result_rows(Entry(name, ""), ScanFacts.of(phantom.scan), reading, made_by)
    return group, (
        list(rows.vertebrae),
        list(rows.grades),
        vertebra_truth(name, phantom),
        disc_truth(name, phantom),
    )


def _score(parts: Sequence[_Tables]) -> Score:
    vertebrae, grades, true_vertebrae, true_discs = (
        [row for part in parts for row in part[i]] for i in range(4)
    )
    # By their schema, so that a bundle that finds nothing has tables too, without rows.
    return score_tables(
        to_table("vertebrae", vertebrae).to_pandas(),
        to_table("grades", grades).to_pandas(),
        pd.DataFrame(true_vertebrae),
        pd.DataFrame(true_discs),
    )


def figures(
    source: str, *, share: float = 1.0, processes: int = 1, first_seed: int = FIRST_SEED
) -> dict[str, dict[str, Any]]:
    """Score a bundle on unseen synthetic scans.

    Parameters
    ----------
    source
        A bundle: a name, a folder or a URL.
    share
        Share of the 120 scans to take, at least one of each group.
    processes
        Scans read side by side.

    Returns
    -------
    dict
        Scores by group and for "all": the fields of :class:`spinenet.evaluation.Score`. Findings are scored
        on lumbar T2, the only contrast whose grades are validated.
    """
    bundle = resolve(source)
    jobs = list(_jobs(share, first_seed))
    done: list[tuple[str, _Tables]] = []
    read = partial(_read, Provenance(bundle.name, bundle.fingerprint, "", torch.__version__))
    for i, result in enumerate(side_by_side(read, bundle, jobs, processes=processes), start=1):
        done.append(result)
        logger.info("read %d of %d", i, len(jobs))
    scores = {"all": _score([tables for _, tables in done]).as_dict()}
    scores["all"]["balanced_accuracy"] = {}
    for group in dict.fromkeys(name for name, _ in done):
        scores[group] = _score([tables for name, tables in done if name == group]).as_dict()
        if group != GROUPS[0][0]:
            scores[group]["balanced_accuracy"] = {}
    return scores
