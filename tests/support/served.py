"""A real Prefect server on loopback that serves the flows, and what its API tells of their runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from flows.prefect_server.server import free_port
from support.prefect_home import home

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
DEPLOYED = "tested"
BUSY, BUSY_S = 503, 60.0
"""Status of a server whose database is locked by another request, and how long that may last."""

SERVE = f"""
from prefect import serve
from flows.cohort import cohort
from flows.index import index
from flows.training import training
serve(
    index.to_deployment({DEPLOYED!r}, tags=["nightly"]),
    cohort.to_deployment({DEPLOYED!r}),
    training.to_deployment({DEPLOYED!r}),
)
"""
"""What a user would write."""


@dataclass(frozen=True)
class Served:
    """The server's API, and the process that does what it is asked for."""

    url: str
    process: subprocess.Popen[bytes]

    def answer(self, method: str, path: str, **asked: Any) -> httpx.Response:
        """What the API answers; asked again where its database is busy, as Prefect's own client does."""
        deadline = time.monotonic() + BUSY_S
        while True:
            answer = httpx.request(method, f"{self.url}/{path}", timeout=60, **asked)
            if answer.status_code != BUSY or time.monotonic() > deadline:
                return answer
            time.sleep(float(answer.headers.get("Retry-After", 1)))

    def get(self, path: str) -> dict[str, Any]:
        """One thing."""
        found: dict[str, Any] = self.answer("GET", path).raise_for_status().json()
        return found

    def found(self, what: str, **asked: Any) -> list[dict[str, Any]]:
        """All things of a kind that are as is asked for."""
        answer = self.answer("POST", f"{what}/filter", json=asked).raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def of_run(self, run: Mapping[str, Any], what: str) -> list[dict[str, Any]]:
        """All things of a kind that belong to a run."""
        its = {"any_": [run["id"]]}
        if what == "logs":
            return self.found(what, logs={"flow_run_id": its})
        return self.found(what, flow_runs={"id": its})

    def deployment(self, flow: str) -> dict[str, Any]:
        """What is deployed, once it is."""
        path = f"deployments/name/{flow}/{DEPLOYED}"
        until(lambda: self.answer("GET", path).status_code == 200, 60)
        return self.get(path)

    def ask(self, flow: str, **request: Any) -> httpx.Response:
        """Ask for a run, as the form does."""
        deployed = self.deployment(flow)["id"]
        asked = {"parameters": {"request": request}}
        return self.answer("POST", f"deployments/{deployed}/create_flow_run", json=asked)

    def run(self, flow: str, **request: Any) -> dict[str, Any]:
        """A run that was asked for."""
        run: dict[str, Any] = self.ask(flow, **request).raise_for_status().json()
        return run

    def ended(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The run, once it has ended and the server has taken in the states of its tasks."""
        path = f"flow_runs/{run['id']}"
        until(lambda: self.get(path)["state_type"] in FINAL, 200)
        until(lambda: all(task["state_type"] in FINAL for task in self.of_run(run, "task_runs")), 30)
        return self.get(path)


def until(true: Callable[[], bool], seconds: float) -> None:
    """Wait for something to be so, and fail where it is not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not so after {seconds} seconds"
        time.sleep(0.2)


@contextmanager
def served(folder: Path, **environment: str) -> Iterator[Served]:
    """Start a server with a home in ``folder``, and a process that serves the flows."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("PREFECT_LOGGING")
    } | {
        "PREFECT_HOME": str(home(folder / "prefect")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        **environment,
    }  # fmt: skip
    place = ["--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as said, (folder / "serve.log").open("wb") as told:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", *place],
            env=variables, stdout=said, stderr=said,
        )  # fmt: skip
        try:
            until(lambda: answers(url), 120)
            runner = subprocess.Popen(
                [sys.executable, "-c", SERVE],
                env=variables | {"PREFECT_API_URL": url}, stdout=told, stderr=told,
            )  # fmt: skip
            try:
                yield Served(url, runner)
            finally:
                runner.terminate()
                runner.wait(60)
        finally:
            server.terminate()
            server.wait(60)


def answers(url: str) -> bool:
    """Whether the server is there."""
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
