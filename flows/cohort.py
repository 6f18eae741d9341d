"""The flow of a cohort: what Prefect deploys, serves and shows a form for."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.cohort_run import RunSummary, Way, run_cohort
from flows.prefect_server.within import shown
from flows.shard_tasks import name_of
from flows.tasks import Account, key_of
from spinenet.cohort.request import RunRequest


class CohortRequest(RunRequest):
    """A manifest of scans that are to be read, the folder of their tables, and the workers that do it."""

    cluster: str = Field(
        default="local", description="local, or a Dask scheduler's tls://HOST:PORT or tcp://HOST:PORT."
    )


def _name() -> str:
    request = CohortRequest.model_validate(flow_run.parameters["request"])
    return name_of(request.manifest, request.out)


def _account(summary: RunSummary) -> Account:
    return Account(f"{summary.n_rows} scans, by state", key_of(summary.out), summary.states)


@flow(name="spinenet-cohort", flow_run_name=_name, persist_result=False, retries=0, log_prints=False)
def cohort(
    request: CohortRequest = Field(
        description="The manifest, the folder of the tables, and how scans are read."
    ),
) -> RunSummary:
    """Read every scan of a manifest and write the tables; started again, it goes on.

    Parameters
    ----------
    request
        The manifest, the folder of the tables, and how scans are read.
    """
    return shown(lambda: run_cohort(request, Way(request.cluster)), _account)
