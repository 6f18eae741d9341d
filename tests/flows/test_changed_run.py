"""The command over a finished run: rows added to its manifest, and other settings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from support.cohorts import small_scan, spinenet, tables, write

SCANS = 3
ARGUMENTS = ("--weights", "synthetic", "--shard-size", "2", "--no-prefect")


def test_rows_are_appended_and_all_is_graded_anew(tmp_path: Path) -> None:
    manifest, out = tmp_path / "manifest.csv", tmp_path / "out"
    scan = small_scan(0)
    lines = ["scan_id,path"]
    for name in (f"scan-{i}" for i in range(SCANS)):
        write(tmp_path / name, scan, name)
        lines.append(f"{name},{name}")
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    first = spinenet("run", manifest, out, *ARGUMENTS)
    assert first.returncode == 0, first.stderr
    before, full = tables(out), written(out, 0)
    assert full
    first_seconds = pd.read_parquet(out / "scans")["seconds_detect"].min()

    lines += ["scan-3,scan-0", "gone,gone"]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    refused = spinenet("run", manifest, out, *ARGUMENTS)
    assert refused.returncode == 2
    assert "--append" in refused.stderr
    appended = spinenet("run", manifest, out, *ARGUMENTS, "--append")
    assert appended.returncode == 3, appended.stderr
    after = tables(out)
    assert after["scans"]["scan_id"].tolist() == ["scan-0", "scan-1", "scan-2", "scan-3", "gone"]
    assert after["scans"]["reason"].dropna().tolist() == ["path_missing"]
    for name, table in before.items():
        pd.testing.assert_frame_equal(after[name].iloc[: len(table)], table, check_dtype=False)
    assert full.items() <= written(out, 0).items()

    other = (*ARGUMENTS, "--no-skip-penalty")
    refused = spinenet("run", manifest, out, *other)
    assert refused.returncode == 2
    assert "--regrade" in refused.stderr
    regraded = spinenet("run", manifest, out, *other, "--regrade")
    assert regraded.returncode == 3, regraded.stderr
    scans = pd.read_parquet(out / "scans")
    assert (scans["status"] == "done").sum() == 4
    # what was detected is kept, since nothing of it depends on that setting
    assert (before["scans"]["n_vertebrae"] > 0).any()
    assert (scans["seconds_detect"].dropna() < 0.1 * first_seconds).all()
    again = tables(out)
    corners = [column for column in after["vertebrae"] if str(column).endswith(("_x", "_y"))]
    pd.testing.assert_frame_equal(again["vertebrae"][corners], after["vertebrae"][corners])


def written(out: Path, shard: int) -> dict[str, int]:
    """When each file that a shard committed was written."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in (out / "_run").rglob(f"*{shard:05d}*")
        if path.is_file()
    }
