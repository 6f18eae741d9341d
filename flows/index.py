"""The flow of an index: what Prefect deploys, serves and shows a form for."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.index_run import IndexSummary, about, run_index
from flows.prefect_server.within import shown
from flows.progress import LogIndexing
from flows.tasks import Account, key_of
from spinenet.index.request import IndexRequest


def _name() -> str:
    return about(IndexRequest.model_validate(flow_run.parameters["request"])).name


def _account(summary: IndexSummary) -> Account:
    title = f"{summary.n_series} series of {summary.n_subjects} subjects, by what they are for"
    return Account(title, key_of(summary.out), summary.purposes)


@flow(name="spinenet-index", flow_run_name=_name, persist_result=False, retries=0, log_prints=False)
def index(
    request: IndexRequest = Field(description="The archive, and the manifest to write of it."),
) -> IndexSummary:
    """Find every series of an archive by headers alone, and write a manifest of them.

    Parameters
    ----------
    request
        The archive, and the manifest to write.
    """
    return shown(lambda: run_index(request, progress=LogIndexing()), _account)
