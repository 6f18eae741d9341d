"""What the commands print of scans whose ids came from outside, at any width of the terminal."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
from pathlib import Path

import pytest
from rich.cells import cell_len

from flows.cli.printing import Group, LineFormatter, Page, group_lines
from flows.cli.status import DOUBTFUL
from flows.cli.status import _groups as status_groups
from flows.progress import LogReporter
from flows.shard_tasks import shown_as
from spinenet.cohort.freeze import freeze
from spinenet.cohort.ledger import Commit, Ledger
from spinenet.cohort.manifests.manifest import read_manifest
from spinenet.cohort.plan import Conditions
from spinenet.cohort.request import RunRequest
from spinenet.cohort.rows import Failure, Provenance, failed_rows
from spinenet.cohort.status import RunStatus
from spinenet.cohort.tables import to_table
from spinenet.printable import link_target, markdown
from spinenet.readers.dicom.facts import FLAGS
from spinenet.storage import Store
from support.cohorts import command, spinenet

HOSTILE = {
    "[/bold]": "[/bold]",
    "[bold red]loud": "[bold red]loud",
    ":smile:": ":smile:",
    "\x1b[31mred\x1b]0;title\x07": "\\x1b[31mred\\x1b]0;title\\x07",
    "a\n2026-01-01 00:00:00,000 ERROR forged": "a\\n2026-01-01 00:00:00,000 ERROR forged",
    "\u202egnp.exe": "\\u202egnp.exe",
    "back\b\rspace": "back\\x08\\rspace",
    "nul\0": "nul\\x00",
}
"""Ids, and what is to be seen of them."""
LONG = "site-7/" + "x" * 300


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest of ids that would do harm, and a run in which all of them failed."""
    folder = tmp_path_factory.mktemp("hostile")
    manifest, out = folder / "m.jsonl", folder / "out"
    rows = [{"scan_id": name, "path": "nowhere", "note": name} for name in (*HOSTILE, LONG)]
    manifest.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    plan = freeze(
        Store.at(str(out)),
        read_manifest(str(manifest)),
        Conditions("tiny", "f" * 64, {}, {}),
        shard_size=3,
        about={},
    )
    ledger, made_by = Ledger(Store.at(str(out)), plan), Provenance("tiny", "f" * 64, "0", "0")
    for index in range(plan.n_shards):
        shard, reason = plan.shard(index), ("path_missing", "not_mr", "duplicate_positions")[index]
        failed = [failed_rows(entry, Failure(reason, "a sentence"), made_by).scan for entry in shard.entries]
        tables = {"scans": to_table("scans", failed, shard.carried)}
        parts = ledger.stage(index, tables | {name: to_table(name, []) for name in ("vertebrae", "grades")})
        assert ledger.commit(Commit(index, 0, parts, {reason: len(failed)}))
    return manifest, out


def assert_harmless(text: str) -> None:
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert not [line for line in text.split("\n") if line.startswith("2026-01-01")]
    for shown in HOSTILE.values():
        assert shown in text


def test_status_shows_hostile_ids_and_json_keeps_them(hostile: tuple[Path, Path]) -> None:
    _, out = hostile
    told = spinenet("status", out)
    assert told.returncode == 0, told.stderr
    assert_harmless(told.stdout)
    assert LONG in told.stdout, "what a program may read is not shortened"
    exact = spinenet("status", out, "--json").stdout
    assert exact.isascii()
    assert [row["scan_id"] for row in json.loads(exact)["scans"]] == [*HOSTILE, LONG]


def test_check_shows_hostile_ids(hostile: tuple[Path, Path]) -> None:
    manifest, _ = hostile
    few = manifest.with_name("few.jsonl")
    lines = manifest.read_text(encoding="utf-8").split("\n")
    few.write_text("\n".join([lines[0], *lines[3:6]]), encoding="utf-8")
    told = spinenet("check", few, "--weights", "synthetic")
    assert told.returncode == 3, told.stderr
    some = list(HOSTILE.values())
    for shown in (some[0], *some[3:6]):
        assert told.stdout.count(shown) == 2, "in its group, and with its reason"
    assert not [c for c in told.stdout if not c.isprintable() and c != "\n"]


def test_an_error_is_one_line_of_what_can_be_seen(tmp_path: Path) -> None:
    manifest = tmp_path / "a\n2026-01-01 ERROR.csv"
    manifest.write_text('scan_id,path,"\x1b[1mn\nERROR","\x1b[1mn\nERROR"\na,b,c,d\n', encoding="utf-8")
    told = spinenet("check", manifest)
    assert told.returncode == 2
    assert "a\\n2026-01-01 ERROR.csv repeats the column \\x1b[1mn\\nERROR" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_log_lines_cannot_be_forged() -> None:
    log, stream = logging.getLogger("spinenet"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    try:
        for name in HOSTILE:
            LogReporter().scan(name, "not_mr")
        log.warning("a path: %s of https://me:hush@host/a", "x\nERROR y")
        try:
            raise ValueError("x\nERROR \x1b[1m")
        except ValueError:
            log.exception("no good")
    finally:
        log.removeHandler(handler)
    lines = stream.getvalue().splitlines()
    assert lines[: len(HOSTILE)] == [f"WARNING scan {shown} failed: not_mr" for shown in HOSTILE.values()]
    assert lines[len(HOSTILE)] == "WARNING a path: x\\nERROR y of https://***@host/a"
    assert not [line for line in lines if line.startswith("ERROR") and line != "ERROR no good"]
    assert "\x1b" not in stream.getvalue()


def test_what_prefect_shows_cannot_be_forged(tmp_path: Path) -> None:
    manifest, out = tmp_path / "m\n[x](y).jsonl", tmp_path / "o) <b>\x1b[1m"
    manifest.write_text('{"scan_id": "a", "path": "b"}', encoding="utf-8")
    store = Store.at(str(out))
    conditions = Conditions("tiny", "f" * 64, {}, {})
    plan = freeze(store, read_manifest(str(manifest)), conditions, shard_size=1, about={})
    request = RunRequest(manifest=str(manifest), out=str(out))
    about = shown_as(request, "local", Ledger(store, plan), 1, 1)
    assert about.name == "m\\n[x](y).jsonl to o) <b>\\x1b[1m, 1 of 1 shards of 1 scans"
    assert markdown(about.name).startswith("m\\\\n\\[x\\]\\(y\\).jsonl to o\\) &lt;b\\>")
    assert link_target(about.tables).endswith("/o%29%20%3Cb%3E%1B%5B1m")
    assert link_target("s3://bucket/a/run-1.json?v=2#x") == "s3://bucket/a/run-1.json?v=2#x"


def on_terminal(arguments: list[str], columns: int) -> list[str]:
    """What a command prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen(arguments, stdout=theirs, stderr=subprocess.PIPE, env=environment) as process:
        os.close(theirs)
        told = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says so at the end
                break
            if not piece:
                break
            told += piece
        assert process.stderr is not None
        said = process.stderr.read()
    os.close(ours)
    assert process.returncode == 0, said
    return told.decode().replace("\r\n", "\n").rstrip("\n").split("\n")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_status_fits_the_terminal(hostile: tuple[Path, Path], columns: int) -> None:
    lines = on_terminal(command("status", hostile[1]), columns)
    assert max(map(cell_len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    for reason in ("path_missing", "not_mr", "duplicate_positions"):
        assert f"3 failed: {reason}: " in text
    assert any("…" in line and "xxx" in line for line in lines), "a longer id is shortened"
    assert "[/bold], [bold red]loud, :smile:" in text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_lines_fit_ids_of_any_script(width: int) -> None:
    groups = [
        Group(
            1234, "failed: duplicate_positions", "several slices share one position", ["脊椎" * 60, "b"], True
        )
    ]
    lines = list(group_lines("1234 scans in", "/data/" + "y" * 300, groups, Page(width, cut=True)))
    assert max(map(cell_len, lines[:1] + lines[-3:])) <= max(width, 28)
    assert max(map(cell_len, lines)) <= max(width, len("duplicate_positions:") + 8)
    whole = "\n".join(group_lines("1234 scans in", "/data", groups, Page(width, cut=False)))
    assert "脊椎" * 60 in whole
    assert len(list(group_lines("1234 scans in", "/data", groups, Page(None, cut=False)))) == 3


def test_doubtful_scans_are_counted_below_those_that_are_done(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    states = {"done": 5, "excluded": 0, "pending": 0}
    account = RunStatus(store.url(), 5, 1, 1, states, (), True, flags={"oblique": 4, "not_a_spine": 2})
    shown = [(group.count, group.what) for group in status_groups(account)]
    assert shown == [(5, "done"), (2, "not a spine"), (0, "excluded"), (0, "pending")]
    assert set(DOUBTFUL) <= set(FLAGS)
