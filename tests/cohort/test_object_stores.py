"""Real object stores, left in peace and through a proxy that makes trouble: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from spinenet.cohort.finalise import final_states, finalise
from spinenet.cohort.layout import RUN_FILE
from spinenet.cohort.results import read_results
from spinenet.cohort.status import read_status
from spinenet.errors import StorageError
from spinenet.storage import Retries, Store
from support import run_without_models
from support.flaky_proxy import KINDS, FlakyProxy
from support.object_stores import ObjectStore
from support.races import assert_one_winner
from support.run_without_models import begin, do_shard

A_RUN = Path(run_without_models.__file__)


@pytest.fixture
def folder(server: ObjectStore) -> Iterator[str]:
    with server.folder() as url:
        yield url


def opened(url: str, server: ObjectStore, proxy: FlakyProxy | None = None) -> Store:
    store = Store.at(url, server.options(proxy.url if proxy else None))
    if server.protocol == "az":
        # The SDK's own tries wait for 15 seconds each; here ours are tested.
        store.fs.service_client._config.retry_policy.total_retries = 0
    return store


def test_create_only_writes_are_honoured_and_the_probe_leaves_nothing(
    server: ObjectStore, folder: str
) -> None:
    store = opened(folder, server)
    assert store.honours_create()
    assert store.fs.find(store.root.split("/")[0]) == []
    ledger = begin(store, 4, 2)
    assert ledger.plan.create_only
    assert json.loads(store.read(RUN_FILE))["create_only"] is True
    assert len(store.fs.find(store.root)) == 2, "the plan and run.json, and no probe"


def test_of_many_creators_one_wins_each_of_30_races(server: ObjectStore, folder: str) -> None:
    assert_one_winner(opened(folder, server), n_threads=4, n_races=30)


@pytest.mark.parametrize("faults", [0.05, 0.2])
def test_nothing_is_lost_or_doubled_on_a_bad_line(server: ObjectStore, folder: str, faults: float) -> None:
    names, n_writers = [f"records/{i}" for i in range(25)], 3
    with FlakyProxy(server.address, faults=faults, seed=5, delay_s=0.3) as proxy:

        def write_all(me: int) -> list[str]:
            store, mine = opened(folder, server, proxy), []
            for name in random.Random(me).sample(names, len(names)):
                if store.create(name, f"{name} by {me}".encode()):
                    mine.append(name)
                store.write(f"parts/{me}-{name.split('/')[1]}", name.encode() * 100)
            return mine

        with ThreadPoolExecutor(n_writers) as pool:
            won = list(pool.map(write_all, range(n_writers)))
        store = opened(folder, server, proxy)
        assert Counter(name for mine in won for name in mine) == Counter(names)
        read = store.read_many([*names, "records/none"])
        owner = {name: me for me, mine in enumerate(won) for name in mine}
        assert read == {name: f"{name} by {owner[name]}".encode() for name in names}
        assert len(store.sizes("parts")) == n_writers * len(names)
        assert store.read("parts/2-24") == b"records/24" * 100
        assert store.exists("records/3")
        store.remove(names[:5])
        assert sorted(store.sizes("records")) == sorted(name.split("/")[1] for name in names[5:])
        with pytest.raises(FileNotFoundError):
            store.read(names[0])
        counts = proxy.counts()
    assert counts["faults"] > 0.3 * faults * counts["requests"]
    assert faults < 0.1 or set(counts["by_kind"]) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_line_without_end_is_told_in_time(server: ObjectStore, folder: str, kind: str) -> None:
    with FlakyProxy(server.address, faults=1.0, kinds=[kind], delay_s=0.05) as proxy:
        store = replace(opened(folder, server, proxy), retries=Retries(budget_s=1.0, first_budget_s=1.0))
        actions: list[Callable[[], object]] = [
            lambda: store.write("a", b"1"),
            lambda: store.create("b", b"1"),
            lambda: store.read_many(["a", "b"]),
            lambda: store.sizes(""),
        ]
        for action in actions:
            began = time.monotonic()
            if kind == "delay":
                action()
            else:
                with pytest.raises(StorageError, match="start again"):
                    action()
            assert time.monotonic() - began < 10
        store.retries.hurry()
        if kind != "delay":
            before = proxy.counts()["requests"]
            with pytest.raises(StorageError):
                store.read("a")
            # One, and what aiohttp on a connection that it had open, and Azure's downloads, do of themselves.
            assert proxy.counts()["requests"] <= before + 3


def test_refusals_are_one_sentence_without_secrets(server: ObjectStore, folder: str) -> None:
    """Credentials that are wrong, a bucket that is not there, a store that is not there."""
    s3 = server.protocol == "s3"
    bad = {"secret": "hush-hush"} if s3 else {"connection_string": server.options()["connection_string"]}
    if not s3:
        bad["connection_string"] = bad["connection_string"].replace("Eby8", "HUSH")
    nobody = {"endpoint_url": "http://127.0.0.1:1"} if s3 else {}
    cases = [
        (folder, bad, "refuses the credentials"),
        (f"{server.protocol}://test-{'0' * 32}/out", {}, "no such bucket or container"),
    ]
    cases += [(folder, nobody, "cannot be reached")] if s3 else []
    actions: list[Callable[[Store], object]] = [
        lambda store: store.write("a", b""),
        lambda store: store.read("a"),
        lambda store: store.create("a", b""),
        lambda store: store.read_many(["a"]),
    ]
    for url, options, said in cases:
        store = Store.at(url, server.options() | options)
        store.retries.first_budget_s = 0.5
        for action in actions:
            with pytest.raises(StorageError, match=said) as caught:
                action(store)
            assert "hush" not in str(caught.value).lower()
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("faults", [0.0, 0.1])
def test_two_runs_on_one_folder_commit_each_shard_once(
    server: ObjectStore, folder: str, tmp_path: Path, faults: float
) -> None:
    n_rows = 24
    with FlakyProxy(
        server.address, faults=faults, seed=3, kinds=KINDS if server.protocol == "s3" else ["delay"]
    ) as proxy:
        environment = {**os.environ, **server.at(proxy.url), "PYTHONWARNINGS": "ignore"}
        runs = [
            subprocess.Popen(
                [sys.executable, A_RUN, folder, by, str(n_rows), size, str(tmp_path / "go")],
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for by, size in (("one", "3"), ("other", "4"))
        ]
        try:
            give_up = time.monotonic() + 60
            while not all((tmp_path / f"ready-{by}").exists() for by in ("one", "other")):
                assert time.monotonic() < give_up, "a run did not start"
                time.sleep(0.01)
            (tmp_path / "go").touch()
            said = [json.loads(run.communicate(timeout=200)[0]) for run in runs]
        finally:
            for run in runs:
                run.kill()
                run.communicate()
        assert faults == 0 or proxy.counts()["faults"] > 0
    size = said[0]["shard_size"]
    assert said[1]["shard_size"] == size, "both go by one plan"
    n_shards = n_rows // size
    assert sorted(said[0]["won"] + said[1]["won"]) == list(range(n_shards)), "one winner for each shard"
    store = opened(folder, server)
    assert finalise(begin(store, n_rows, 1)) == {"done": n_rows, "excluded": 0}
    scans = read_results(folder, server.options()).scans
    by = ["one" if i // size in said[0]["won"] else "other" for i in range(n_rows)]
    assert scans["scan_id"].tolist() == [f"s{i}" for i in range(n_rows)]
    assert scans["detail"].tolist() == by
    alone = Store.at(str(tmp_path / "alone"))
    ledger = begin(alone, n_rows, 5)
    assert all(do_shard(ledger, index, "alone") for index in range(ledger.plan.n_shards))
    finalise(ledger)
    undisturbed = read_results(str(tmp_path / "alone")).scans
    pd.testing.assert_frame_equal(scans.drop(columns="detail"), undisturbed.drop(columns="detail"))


@pytest.mark.s3
def test_requests_are_few_and_none_is_for_a_scan(s3: ObjectStore) -> None:
    with FlakyProxy(s3.address) as proxy:
        told = {}

        def counted(step: str, action: Callable[[], object]) -> None:
            before = Counter(proxy.counts()["by_method"])
            action()
            told[step] = dict(Counter(proxy.counts()["by_method"]) - before)

        n_shards, shard_size = 12, 50
        with s3.folder() as second:
            store = Store.at(second, s3.options(proxy.url))
            counted("begin", lambda: begin(store, n_shards * shard_size, shard_size))
            ledger = begin(store, n_shards * shard_size, shard_size)
            counted("shards", lambda: [do_shard(ledger, i, "me") for i in range(n_shards)])
            counted("resume", lambda: ledger.unfinished(ledger.commits()))
            counted("status of a running one", lambda: read_status(store))
            counted("finalise", lambda: finalise(ledger))
            counted(
                "resume of a finished run",
                lambda: final_states(store, begin(store, n_shards * shard_size, 1).plan),
            )
            counted("status", lambda: read_status(store))
    logging.getLogger(__name__).info("requests for %d shards: %s", n_shards, told)
    assert told["begin"] == {"LIST": 3, "GET": 4, "PUT": 4, "DELETE": 1}
    assert told["shards"] == {"PUT": 5 * n_shards}
    assert told["resume"] == {"LIST": 2, "GET": n_shards}
    assert told["finalise"]["GET"] == 4 * n_shards
    assert told["finalise"]["PUT"] == 4
    assert sum(told["finalise"].values()) <= 4 * n_shards + 4 + 9
    # the commits are listed too: rows may have been read again since the tables were written
    assert told["resume of a finished run"] == {"GET": 2 + 1 + 3, "LIST": 1 + 3 + 1}
    assert told["status of a running one"]["GET"] == 3 + n_shards
    assert sum(told["status of a running one"].values()) <= 3 + n_shards + 3
    assert sum(told["status"].values()) <= 5
