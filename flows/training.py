"""The flow of a training: what Prefect deploys, serves and shows a form for."""

from __future__ import annotations

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.prefect_server.within import shown
from flows.tasks import Account, key_of
from spinenet.training.request import TrainingRequest
from spinenet.training.summary import TrainingSummary


def _name() -> str:
    request = TrainingRequest.model_validate(flow_run.parameters["request"])
    return f"{request.network} in {request.out}"


def _account(summary: TrainingSummary) -> Account:
    counts = {"done": summary.step, "left": summary.steps - summary.step}
    return Account(f"{summary.steps} steps of the {summary.network}", key_of(str(summary.checkpoint)), counts)


@flow(name="spinenet-training", flow_run_name=_name, persist_result=False, retries=0, log_prints=False)
def training(
    request: TrainingRequest = Field(description="The network, its recipe, and where its checkpoint goes."),
) -> TrainingSummary:
    """Train a network by a recipe; started again, it goes on.

    Parameters
    ----------
    request
        The network, its recipe, and where its checkpoint goes.
    """
    # not above: whoever deploys or serves the flow does without torch
    from spinenet.training.run import run_training

    return shown(lambda: run_training(request), _account)
