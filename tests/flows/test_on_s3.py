"""The real command with its output on a real S3, through a proxy that spoils some of the requests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from spinenet.storage import Store
from support.cohorts import Undisturbed, assert_same_tables, command
from support.flaky_proxy import FlakyProxy
from support.object_stores import ObjectStore

pytestmark = [pytest.mark.s3, pytest.mark.slow]
SECRET = "AWS_SECRET_ACCESS_KEY"


def test_a_bad_line_changes_nothing_and_secrets_stay_out(
    s3: ObjectStore, undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3.folder() as out, FlakyProxy(s3.address, faults=0.1, seed=2, delay_s=0.3) as proxy:
        for name, value in s3.at(proxy.url).items():
            monkeypatch.setenv(name, value)

        def run() -> subprocess.CompletedProcess[str]:
            arguments = command("run", undisturbed.manifest, out, *undisturbed.arguments)
            return subprocess.run(arguments, capture_output=True, text=True, timeout=400)

        said = run()
        assert said.returncode == undisturbed.process.returncode, said.stderr
        assert proxy.counts()["faults"] >= 5
        proxy.faults, before = 0.0, proxy.counts()["requests"]
        again = run()
        assert again.returncode == said.returncode, again.stderr
        looked = proxy.counts()["requests"] - before
        store = Store.at(out, s3.options())
        commits = len(store.sizes("_run/commits"))
        # The list of revisions, run.json and the plan, for the start and for the body; _SUCCESS, the list of
        # commits, and of each table the list and a file; for the account _SUCCESS and all commits with their
        # list, and the part with the row that failed, with its list.
        assert looked == 6 + 2 + 6 + 2 + commits + 2
        store.fs.get(store.root, str(tmp_path / "out"), recursive=True)
    assert_same_tables(tmp_path / "out", undisturbed.out)
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert len(written) > 20
    secret = s3.environment[SECRET].encode()
    assert not [file for file in written if secret in file.read_bytes()]
    assert secret.decode() not in said.stdout + said.stderr + again.stdout + again.stderr
