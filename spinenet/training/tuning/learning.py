"""Learns one head from labelled images: early stopping by the develop side, and going on after a kill."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spinenet.errors import TrainingError
from spinenet.storage import Store
from spinenet.training.intervals import Indices
from spinenet.training.losses import by_frequency

_log = logging.getLogger(__name__)

CHECK_EVERY, PATIENCE = 25, 16
"""Steps between looks at the develop side, and looks without progress after which training ends."""
SAVE_EVERY = 100
"""Steps between checkpoints; a multiple of :data:`CHECK_EVERY`."""
WARM_UP = 25


class Learner(Protocol):
    """What gives logits of examples by their numbers, and has parameters that learn."""

    @property
    def module(self) -> nn.Module:
        """All that learns."""

    def groups(self) -> list[dict[str, Any]]:
        """Parameters for the optimiser, each group with ``scale``, its rate relative to the head's."""

    def logits(self, indices: Indices, rng: np.random.Generator | None) -> Tensor:
        """(n, n_classes) of some examples, varied where ``rng`` is given."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast is learnt; attributes as in the request."""

    seed: int
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    balance: float
    n_classes: int


@dataclass(frozen=True)
class Learnt:
    """What a training ended with: the step of its best state, the steps done, losses by step."""

    best_step: int
    steps: int
    losses: tuple[tuple[int, float, float], ...]


@dataclass
class _State:
    step: int
    best: float
    best_step: int
    best_state: Mapping[str, Tensor]
    losses: list[tuple[int, float, float]]


def learn(
    learner: Learner,
    classes: npt.NDArray[np.intp],
    train: Indices,
    develop: Indices,
    schedule: Schedule,
    kept: tuple[Store, str],
    progress: Callable[[int], None] = lambda step: None,
) -> Learnt:
    """Train, and leave the learner with the weights that were best on the develop side.

    Steps draw by their number alone, so that a training which was killed ends with the very weights of one
    that was not, on as many threads of the same machine.

    Parameters
    ----------
    classes
        Of every example, from 0.
    kept
        Store and name of the checkpoint, which holds nothing but numbers.

    Raises
    ------
    TrainingError
        The loss is no longer a number, or the checkpoint cannot be read.
    """
    optimiser = torch.optim.AdamW(
        [{k: v for k, v in group.items() if k != "scale"} for group in learner.groups()],
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
    )
    scales = [float(group["scale"]) for group in learner.groups()]
    counts = np.maximum(np.bincount(classes[train], minlength=schedule.n_classes), 1)
    weights = by_frequency(counts, schedule.balance)
    state = _resumed(learner, optimiser, kept) or _State(0, np.inf, 0, _copy(learner.module), [])
    targets = torch.from_numpy(classes.astype(np.int64))
    for step in range(state.step, schedule.steps):
        if step - state.best_step >= PATIENCE * CHECK_EVERY:
            break
        rng = np.random.default_rng([schedule.seed, step])
        indices = rng.choice(train, min(schedule.batch, len(train)), replace=False)
        for group, scale in zip(optimiser.param_groups, scales, strict=True):
            group["lr"] = schedule.learning_rate * scale * min(1.0, (step + 1) / WARM_UP)
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(learner.logits(indices, rng), targets[indices], weight=weights)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        state.step = step + 1
        if state.step % CHECK_EVERY == 0 or state.step == schedule.steps:
            _look(learner, state, targets, develop, weights, float(loss.detach()))
        if state.step % SAVE_EVERY == 0:
            _save(learner, optimiser, state, kept)
        progress(state.step)
    learner.module.load_state_dict(state.best_state)
    return Learnt(state.best_step, state.step, tuple(state.losses))


def predicted(learner: Learner, indices: Indices) -> npt.NDArray[np.float64]:
    """(n, n_classes) probabilities of some examples, unvaried."""
    probabilities: npt.NDArray[np.float64] = _logits(learner, indices).double().softmax(1).cpu().numpy()
    return probabilities


def _logits(learner: Learner, indices: Indices, batch: int = 32) -> Tensor:
    """(n, n_classes) of some examples, unvaried, a few at once."""
    with torch.inference_mode():
        return torch.cat(
            [learner.logits(indices[k : k + batch], None) for k in range(0, len(indices), batch)]
        )


def _look(
    learner: Learner, state: _State, targets: Tensor, develop: Indices, weights: Tensor, trained: float
) -> None:
    """Note the loss of the develop side, and the weights where it is the least so far."""
    logits = _logits(learner, develop)
    loss = float(nn.functional.cross_entropy(logits, targets[develop], weight=weights))
    if not np.isfinite(loss) or not np.isfinite(trained):
        raise TrainingError(f"the loss is no longer a number at step {state.step}; learn at a lower rate")
    state.losses.append((state.step, trained, loss))
    if loss < state.best:
        state.best, state.best_step, state.best_state = loss, state.step, _copy(learner.module)


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


def _save(learner: Learner, optimiser: torch.optim.Optimizer, state: _State, kept: tuple[Store, str]) -> None:
    store, name = kept
    buffer = io.BytesIO()
    torch.save(
        {
            "step": state.step,
            "best": state.best,
            "best_step": state.best_step,
            "best_state": dict(state.best_state),
            "losses": [list(row) for row in state.losses],
            "module": learner.module.state_dict(),
            "optimiser": optimiser.state_dict(),
        },
        buffer,
    )
    store.write(name, buffer.getvalue())


def _resumed(learner: Learner, optimiser: torch.optim.Optimizer, kept: tuple[Store, str]) -> _State | None:
    store, name = kept
    try:
        data = store.read(name)
    except FileNotFoundError:
        return None
    try:
        told = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises of many kinds for what is not its file
        raise TrainingError(
            f"{store.url(name)} is no checkpoint ({type(error).__name__}); delete it"
        ) from error
    learner.module.load_state_dict(told["module"])
    optimiser.load_state_dict(told["optimiser"])
    losses = [(int(step), float(a), float(b)) for step, a, b in told["losses"]]
    _log.info("going on at step %d of %s", told["step"], name.rpartition("/")[2])
    return _State(told["step"], told["best"], told["best_step"], told["best_state"], losses)
