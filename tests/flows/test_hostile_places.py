"""Settings, proxies and files that lie around do not keep a run from starting; Prefect is told or is not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import pytest
from prefect.settings import PREFECT_API_URL

from flows.prefect_server.observer import observer
from flows.prefect_server.server import _environment, loopback_past_proxies
from flows.tasks import About
from support.cohorts import command

WITHOUT = "Prefect does not show this run, which goes on without it: "


def test_only_this_machine_goes_past_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "store.hospital.example")
    monkeypatch.delenv("no_proxy", raising=False)
    with loopback_past_proxies():
        for host in ("127.0.0.1", "localhost", "store.hospital.example"):
            assert proxy_bypass_environment(host)
        assert not proxy_bypass_environment("s3.example")
        assert getproxies_environment()["http"] == "http://127.0.0.1:9"
    assert os.environ["NO_PROXY"] == "store.hospital.example"
    assert "no_proxy" not in os.environ


def test_nothing_that_lies_around_reaches_the_own_server() -> None:
    around = {
        "PATH": "/bin",
        "PREFECT_HOME": "/home/of/the/history",
        "PREFECT_API_URL": "x",
        "PREFECT_SERVER_API_AUTH_STRING": "a:b",
        "ALL_PROXY": "socks5://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "PYTHONWARNINGS": "error",
    }
    assert _environment(around).keys() == {"PATH", "PREFECT_HOME", "PYTHONPATH", "PYTHONUTF8"}


def test_settings_that_cannot_be_read_are_said_and_forgotten(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: object) -> str:
        raise ValueError(
            "1 validation error for ClientSettings\nmax_retries\n  Input should be an integer\n more"
        )

    monkeypatch.setattr(type(PREFECT_API_URL), "value", refuse)
    done: list[str] = []
    with observer() as observing, observing.started():
        observing.run(About("flow", "name", "key", {}), lambda tasks: done.append("once"))
    assert done == ["once"]
    said = "1 validation error for ClientSettings max_retries Input should be an integer"
    assert [record.getMessage() for record in caplog.records] == [WITHOUT + said]


STRAYS = {f"{name}/__init__.py": "" for name in ("flows", "spinenet", "prefect", "dask")} | {
    f"{name}.py": "raise SystemExit('a stray module was imported')"
    for name in ("logging", "torch", "types", "random", "socket")
}
PLACES: Mapping[str, tuple[Mapping[str, str | None], Mapping[str, str], str]] = {
    "proxy": ({"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}, {}, ""),
    "socks": ({"ALL_PROXY": "socks5://127.0.0.1:9"}, {}, ""),
    "no home": ({"HOME": None, "XDG_CACHE_HOME": None}, {}, ""),
    "home cannot be written": ({"HOME": "/proc"}, {}, ""),
    "strays": ({}, STRAYS, ""),
    "server gone": ({}, {".env": "PREFECT_API_URL=http://127.0.0.1:9/api\n"}, "cannot be reached"),
    "bad settings": ({}, {".env": "PREFECT_CLIENT_MAX_RETRIES=many\n"}, "max_retries"),
    "bad file": ({}, {"prefect.toml": "this is [not toml\n"}, "prefect.toml"),
    "warnings are errors": ({"PYTHONWARNINGS": "error"}, {}, ""),
    "optimised": ({"PYTHONOPTIMIZE": "1"}, {}, ""),
    "C": ({"LC_ALL": "C", "LANG": "C"}, {}, ""),
    "keys of a server": ({"PREFECT_API_AUTH_STRING": "a:b", "PREFECT_SERVER_API_AUTH_STRING": "a:b"}, {}, ""),
}
"""Variables, files where the user stands, and what must be said; a name of a place for each."""


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_run_works_in(place: str, tmp_path: Path) -> None:
    variables, files, said = PLACES[place]
    stands = tmp_path / "stands"
    for name, text in {"m.csv": "scan_id,path,exclude\n1,nowhere,not wanted\n", **files}.items():
        (stands / name).parent.mkdir(parents=True, exist_ok=True)
        (stands / name).write_text(text, encoding="utf-8")
    clean = {k: v for k, v in os.environ.items() if k not in variables and k.lower() != "no_proxy"}
    given = {name: value for name, value in variables.items() if value is not None}
    # as the installed command: what is imported is not taken from where the user stands
    python, *rest = command("run", "m.csv", tmp_path / "out", "--weights", "synthetic")
    ended = subprocess.run(
        [python, "-P", *rest], cwd=stands, env=clean | given, capture_output=True, text=True, timeout=500
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert said in ended.stderr
    assert "1 scans: 1 excluded" in ended.stdout
