"""The flow of a fine-tuning: what Prefect deploys, serves and shows a form for."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.prefect_server.within import shown
from flows.tasks import Account, key_of
from spinenet.training.tuning.finetune import FinetuneSummary
from spinenet.training.tuning.finetune import finetune as learn
from spinenet.training.tuning.request import FinetuneRequest


def _name() -> str:
    request = FinetuneRequest.model_validate(flow_run.parameters["request"])
    return f"{request.finding} of {request.out}"


def _account(summary: FinetuneSummary) -> Account:
    counts = {"cut": summary.count.cut, "cached": summary.count.cached, "left out": len(summary.count.failed)}
    return Account(f"scans of {summary.finding.name}", key_of(str(summary.bundle)), counts)


@flow(name="spinenet-finetune", flow_run_name=_name, persist_result=False, retries=0, log_prints=False)
def finetuning(
    request: FinetuneRequest = Field(
        description="The run, its labels, and the finding that is to be learnt."
    ),
) -> FinetuneSummary:
    """Learn a finding from labels of what a run has found; started again, it goes on.

    Parameters
    ----------
    request
        The run, its labels, and the finding that is to be learnt.
    """
    return shown(lambda: learn(request), _account)
