"""The command ``spinenet finetune``: learns a finding of a user's own from the labels of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from flows.cli.printing import say
from flows.cli.terminal import Out


def _codes(text: str | None) -> dict[int, str]:
    """Codes as they are written, ``0=absent,1=present``."""
    codes = {}
    for pair in (text or "").split(","):
        code, equals, meaning = pair.partition("=")
        if pair.strip():
            if not equals or not code.strip().isdecimal():
                raise typer.BadParameter(f"'{pair}' is not of the form CODE=MEANING, such as 0=absent")
            codes[int(code)] = meaning.strip()
    return codes


def _numbers(text: str | None) -> tuple[int, ...]:
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise typer.BadParameter(f"'{text}' is no list of numbers of subjects, such as 30,60,120")
    return tuple(int(part) for part in parts)


_Labels = Annotated[
    str,
    typer.Argument(
        help="CSV, JSON lines or Parquet with scan_id or subject_id, disc or vertebra, and the label."
    ),
]
_Finding = Annotated[str, typer.Option(help="Name of the finding, and of its column in the tables.")]
_Bundle = Annotated[
    str | None, typer.Option(metavar="DIR", help="Folder of the new bundle; none is written without.")
]
_Scale = Annotated[str, typer.Option(help="binary, ordinal, or classes without an order.")]
_Of = Annotated[str, typer.Option(help="disc or vertebra.")]
_Column = Annotated[
    str | None, typer.Option(help="Column of the labels, where it is not called like the finding.")
]
_Codes = Annotated[
    str | None,
    typer.Option(metavar="CODE=MEANING,...", help="What each code says; other codes are refused."),
]
_Weights = Annotated[
    str | None, typer.Option(help="Bundle to add the finding to; by default the one of the run.")
]
_Name = Annotated[
    str | None, typer.Option(help="What the new bundle calls itself; by default its folder's name.")
]
_Free = Annotated[
    str, typer.Option(help="What of the trunk learns too, in a copy: none, last (its last stage) or all.")
]
_Folds = Annotated[int, typer.Option(min=0, help="Parts of a cross-validation, 3 or more; 0 for none.")]
_Curve = Annotated[
    str | None,
    typer.Option(metavar="N,N,...", help="Score learning from so many subjects, on the same test side."),
]
_Split = Annotated[str | None, typer.Option(help="Column of the labels that says train, develop or test.")]
_Develop = Annotated[float, typer.Option(help="Share of the subjects that training stops by.")]
_Test = Annotated[float, typer.Option(help="Share of the subjects that figures are of.")]
_Seed = Annotated[int, typer.Option(min=0, help="Another seed is another split.")]
_Steps = Annotated[int, typer.Option(min=1, help="Steps at the most; training may end before.")]
_Balance = Annotated[
    float, typer.Option(min=0, max=1, help="Classes weigh by their frequency to minus this power.")
]
_Copies = Annotated[int, typer.Option(min=0, help="Varied copies of each image to learn from.")]
_Cache = Annotated[
    str | None,
    typer.Option(metavar="URI", help="Folder or URL of cut images; by default in the run's folder."),
]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
_Processes = Annotated[
    int | None, typer.Option(min=1, help="Scans that are cut at once; by default the cores.")
]


def finetune(
    out: Out,
    labels: _Labels,
    finding: _Finding,
    bundle: _Bundle = None,
    scale: _Scale = "binary",
    of: _Of = "disc",
    column: _Column = None,
    codes: _Codes = None,
    weights: _Weights = None,
    name: _Name = None,
    free: _Free = "none",
    folds: _Folds = 0,
    curve: _Curve = None,
    split: _Split = None,
    develop: _Develop = 0.2,
    test: _Test = 0.2,
    seed: _Seed = 0,
    steps: _Steps = 2000,
    balance: _Balance = 1.0,
    copies: _Copies = 4,
    cache: _Cache = None,
    device: _Device = "auto",
    processes: _Processes = None,
) -> None:
    """Learn a finding from labels of the discs or vertebrae that a finished run has found."""
    fields: dict[str, Any] = {
        "out": out, "labels": labels, "finding": finding, "bundle": bundle, "scale": scale, "of": of,
        "column": column, "codes": _codes(codes), "weights": weights, "name": name, "free": free,
        "folds": folds, "curve": _numbers(curve), "split": split, "develop": develop, "test": test,
        "seed": seed, "steps": steps, "balance": balance, "copies": copies, "cache": cache,
        "device": device, "processes": processes,
    }  # fmt: skip
    from pydantic import ValidationError

    from spinenet.training.recipe import sentence_of
    from spinenet.training.tuning.finetune import finetune as learn
    from spinenet.training.tuning.request import FinetuneRequest

    try:
        request = FinetuneRequest(**fields)
    except ValidationError as error:
        raise typer.BadParameter(sentence_of(error, "finetune")) from error
    done = learn(request)
    say(
        f"{done.examples} labels of {done.subjects} subjects; {done.count.cut} scans were cut, "
        f"{done.count.cached} were in the cache"
    )
    for line in _lines(done.figures):
        say(line)
    if done.bundle is not None:
        say(f"The bundle {done.bundle} has {finding}: spinenet run ... --weights {done.bundle} --regrade")


def _lines(figures: Mapping[str, Any]) -> Sequence[str]:
    """A line for each set of figures."""
    lines = [_line("test side", figures["test"])]
    if "cross_validation" in figures:
        told = figures["cross_validation"]
        lines.append(_line(f"{told['folds']} folds", told))
    lines += [_line(f"from {p['learnt_from']} subjects", p) for p in figures.get("curve", ())]
    return lines


def _line(what: str, told: Mapping[str, Any]) -> str:
    values = [
        f"{name} {_shown(value[0])} ({_shown(value[1])} to {_shown(value[2])})"
        for name, value in told.items()
        if isinstance(value, list)
    ]
    return f"{what}: {', '.join(values)}; {told['examples']} labels of {told['subjects']} subjects"


def _shown(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"
