"""The demonstration: a synthetic cohort as DICOM, the whole run on it, and the score."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from flows.cohort_run import RunSummary, Way, run_cohort
from flows.progress import reporter_here
from spinenet.anatomy import FINDINGS
from spinenet.cohort.request import RunRequest
from spinenet.cohort.results import read_results
from spinenet.evaluation import Score, score_against_truth
from spinenet.printable import printable
from spinenet.synthetic.cohort import write_cohort
from spinenet.weights.names import SYNTHETIC

SHARD_SIZE = 4


def run_demo(subjects: int, out: Path, seed: int, console: Console, *, prefect: bool = True) -> int:
    """Make, run and score; print what came of it.

    Returns
    -------
    int
        Scans that failed.
    """
    console.print(f"Making {subjects} synthetic lumbar T2 scans as DICOM in {printable(out / 'cohort')} ...")
    began = time.monotonic()
    manifest = write_cohort(out / "cohort", subjects, seed)
    made = time.monotonic() - began
    reporter = reporter_here()
    results = out / "results"
    request = RunRequest(manifest=str(manifest), out=str(results), weights=SYNTHETIC, shard_size=SHARD_SIZE)
    summary = run_cohort(request, Way(prefect=prefect), reporter)
    tables = read_results(str(results))
    score = score_against_truth(tables, out / "cohort")
    console.print(_overview(summary, score, made, tables.scans))
    console.print(_findings(score))
    console.print(
        "Synthetic scans, weights trained on such: this shows the pipeline, not the clinic.", style="dim"
    )
    console.print("Open the result:")
    console.print(
        f'    pandas.read_parquet("{printable(results / "grades")}")', highlight=False, soft_wrap=True
    )
    return summary.n_failed


def _flagged(scans: pd.DataFrame, flag: str) -> list[str]:
    """Done scans with a flag."""
    done = scans[scans["status"] == "done"]
    return [name for name, flags in zip(done["scan_id"], done["flags"], strict=True) if flag in flags]


def _overview(summary: RunSummary, score: Score, made: float, scans: pd.DataFrame) -> Table:
    table = Table(title="Run", show_header=False)
    table.add_row("scans done", f"{summary.states.get('done', 0)} of {summary.n_rows}")
    table.add_row("scans failed", str(summary.n_failed))
    doubtful, no_spines = _flagged(scans, "levels_uncertain"), _flagged(scans, "not_a_spine")
    table.add_row("levels uncertain", ", ".join([str(len(doubtful)), *doubtful]))
    if no_spines:
        table.add_row("not a spine", ", ".join([str(len(no_spines)), *no_spines]))
    table.add_row("vertebrae found", f"{score.matched} of {score.true} (recall {score.recall:.3f})")
    table.add_row("vertebrae invented", f"{score.found - score.matched} (precision {score.precision:.3f})")
    table.add_row("level right", f"{score.level_accuracy:.1%}")
    table.add_row("corner error, median", f"{score.corner_error_mm:.2f} mm")
    table.add_row("seconds per scan", f"{summary.seconds / summary.n_rows:.1f} (start-up included)")
    table.add_row("seconds to make a scan", f"{made / summary.n_rows:.1f}")
    return table


def _findings(score: Score) -> Table:
    table = Table(title=f"Grades of {score.discs} lumbar discs")
    table.add_column("finding")
    table.add_column("balanced accuracy", justify="right")
    table.add_column("by chance", justify="right", style="dim")
    for finding in FINDINGS:
        value = score.balanced_accuracy[finding.name]
        table.add_row(finding.name.replace("_", " "), f"{value:.0%}", f"{1 / finding.n_classes:.0%}")
    return table
