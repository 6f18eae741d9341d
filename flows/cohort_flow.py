"""The flow of a cohort: what Prefect deploys, serves and shows a form for."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run
from pydantic import BaseModel, ConfigDict, Field

from flows.cohort import RunSummary, run_cohort
from flows.prefect_server.within import shown
from flows.shard_tasks import name_of
from flows.tasks import Account, key_of
from flows.timelimit import SECONDS_PER_SCAN
from spinenet.cohort.freeze import Change
from spinenet.cohort.retry import Retry
from spinenet.settings import SHARD_SIZE, Settings
from spinenet.weights.names import PUBLISHED


class CohortRequest(BaseModel):
    """A manifest of scans that are to be read, and the folder of their tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: str = Field(
        min_length=1,
        description="CSV, TSV, JSON lines or Parquet with scan_id and path, at any fsspec URL.",
    )
    out: str = Field(
        min_length=1,
        description="Folder of the tables, at any fsspec URL, as the flow and the workers see it. A run that "
        "was begun there is gone on with.",
    )
    weights: str = Field(default=PUBLISHED, description="A name, a folder or a URL of weights.")
    cluster: str = Field(
        default="local", description="local, or a Dask scheduler's tls://HOST:PORT or tcp://HOST:PORT."
    )
    device: str = Field(
        default="auto", description="auto, cpu, cuda or cuda:N, on the workers of the class GPU."
    )
    shard_size: int = Field(default=SHARD_SIZE, ge=1, description="Scans that are committed together.")
    seconds_per_scan: float = Field(
        default=SECONDS_PER_SCAN, ge=1, description="Time limit of each scan, in reading and in inference."
    )
    skip_penalty: bool = Field(default=True, description="Make leaving out a level costly.")
    types: dict[str, str] | None = Field(
        default=None,
        description="Types of columns that the manifest carries, by name: text, integer, number, boolean or "
        "date.",
    )
    change: Change = Field(
        default="refuse",
        description="What becomes of another run in the folder: refuse, append rows that were added at the "
        "manifest's end, or regrade with other weights, settings or rows.",
    )
    retry: list[str] | None = Field(
        default=None,
        description="Read scans again that failed for these reasons; without, those whose storage, machine "
        "or network may have failed and not the scan, three starts at the most.",
    )
    retry_failed: bool = Field(
        default=False, description="Read all scans again that failed, for whatever reason."
    )
    keep_going: bool = Field(
        default=False,
        description="Where storage is away or many scans in a row fail by their surroundings, mark them as "
        "failed instead of stopping.",
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
    return shown(lambda: _run(request), _account)


def _run(request: CohortRequest) -> RunSummary:
    retry = Retry() if request.retry is None else Retry.of(request.retry)
    return run_cohort(
        request.manifest,
        request.out,
        request.weights,
        cluster=request.cluster,
        device=request.device,
        shard_size=request.shard_size,
        settings=Settings(skip_penalty=request.skip_penalty),
        seconds_per_scan=request.seconds_per_scan,
        change=request.change,
        types=request.types,
        retry=Retry.of_all() if request.retry_failed else retry,
        keep_going=request.keep_going,
    )
