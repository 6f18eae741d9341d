"""The commands ``spinenet train``: one for each network, and ``pack`` and ``score`` for bundles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.printing import say

train_app = typer.Typer(
    help="Train networks by recipes, and make and score bundles of them.", no_args_is_help=True
)

_Out = Annotated[
    str, typer.Option("--out", help="Folder for the checkpoint, its history and its card; gone on with.")
]
_Recipe = Annotated[
    str | None,
    typer.Option("--recipe", metavar="FILE", help="TOML, or a name of the package's, such as open_detector."),
]
_Data = Annotated[
    str | None, typer.Option("--data", metavar="DIR", help="Where relative paths of the recipe start.")
]
_Steps = Annotated[int | None, typer.Option(min=1, help="Steps of the whole training, not the recipe's.")]
_Minutes = Annotated[
    float | None, typer.Option(min=0.01, help="End after this time with a checkpoint, to be gone on with.")
]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
_Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Processes that make samples, at the most; by default half of the cores."),
]


def _command(network: str) -> Callable[..., None]:
    def command(
        out: _Out,
        recipe: _Recipe = None,
        data: _Data = None,
        steps: _Steps = None,
        minutes: _Minutes = None,
        device: _Device = "auto",
        workers: _Workers = None,
    ) -> None:
        _train(
            network=network,
            out=out,
            recipe=recipe,
            data=data,
            steps=steps,
            minutes=minutes,
            device=device,
            workers=workers,
        )

    return command


for _network in ("detector", "appearance", "context", "grading"):
    _help = f"Train the {_network} by a recipe, or go on where its training in OUT was."
    train_app.command(_network, help=_help)(_command(_network))


def _train(**fields: Any) -> None:
    from spinenet.training.request import TrainingRequest
    from spinenet.training.run import run_training

    done = run_training(TrainingRequest(**fields))
    if done.first:
        state = "is trained" if done.step == done.steps else "goes on when it is started again"
        loss = f", loss {done.latest['loss']:.4g}" if done.latest else ""
        say(f"The {done.network} {state}: {done.step} of {done.steps} steps{loss} ({done.checkpoint})")


def _recipe(name: str, data: str | None) -> Any:
    from spinenet.training.recipe import with_data
    from spinenet.training.request import named_recipe

    recipe = named_recipe(name)
    return recipe if data is None else with_data(recipe, Path(data))


@train_app.command("pack")
def pack_bundle(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the checkpoints.")],
    bundle: Annotated[Path, typer.Argument(help="Folder of the new bundle.")],
    name: Annotated[
        str | None, typer.Option(help="What the bundle calls itself; by default its folder's name.")
    ] = None,
    rest: Annotated[
        str | None, typer.Option(help="Bundle that networks without a checkpoint are taken of.")
    ] = None,
    average: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK=SHARE@BUNDLE",
            help="Average a trained network with a share of another bundle's; repeatable.",
        ),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="JSON that `spinenet train score` printed, for bundle.json.")
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="TOML of what the bundle is for, or synthetic or open, the package's own."
        ),
    ] = None,
) -> None:
    """Make a bundle of the checkpoints of a folder, with a card that says how they were trained."""
    import json

    from spinenet.training.packing import CARD_FILE, pack
    from spinenet.weights.domain import named_domain

    scores = json.loads(figures.read_text(encoding="utf-8")) if figures else None
    averages = dict(map(_average, average or []))
    made = pack(
        folder,
        bundle,
        name=name or bundle.resolve().name,
        rest=rest,
        averages=averages,
        figures=scores,
        domain=None if domain is None else named_domain(domain),
    )
    say(f"Packed {made.folder}, described in {made.folder / CARD_FILE}; use it with `--weights {bundle}`")


def _average(text: str) -> tuple[str, Any]:
    """A network and with what it is averaged, of an option such as "detector=0.25@synthetic"."""
    from spinenet.training.averaging import Average

    network, _, rest = text.partition("=")
    share, at, bundle = rest.partition("@")
    try:
        number = float(share)
    except ValueError:
        number = None
    if number is None or not at or not bundle:
        raise typer.BadParameter(f"{text!r} is not of the form NETWORK=SHARE@BUNDLE")
    return network, Average(number, bundle)


@train_app.command("score")
def score_bundle(
    bundle: Annotated[str, typer.Argument(help="A bundle: a name, a folder or a URL.")],
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the 120 drawn scans to read.")
    ] = 1.0,
    labelled: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Score on its labelled scans instead, those of one side: bodies and names, or grades.",
        ),
    ] = None,
    data: _Data = None,
    side: Annotated[str, typer.Option(help="train, develop or test; with --labelled.")] = "test",
    processes: Annotated[int, typer.Option(min=1, help="Scans that are read at once.")] = 2,
) -> None:
    """Print figures of a bundle on scans that no training sees, drawn or labelled ones, as JSON."""
    import json

    if labelled is None:
        from spinenet.training.scoring import figures

        typer.echo(json.dumps(figures(bundle, share=share, processes=processes), indent=2))
        return
    from spinenet.training.labelled_grades import labelled_grade_figures
    from spinenet.training.labelled_score import labelled_figures

    recipe = _recipe(labelled, data)
    of = labelled_grade_figures if recipe.network == "grading" else labelled_figures
    typer.echo(json.dumps(of(bundle, recipe, side, processes=processes), indent=2))


@train_app.command("outline")
def outline_slices(
    bundle: Annotated[str, typer.Argument(help="A bundle that finds the bodies: a name, a folder or a URL.")],
    recipe: Annotated[str, typer.Argument(help="Recipe whose mid slices have no outlines yet.")],
    out: Annotated[Path, typer.Argument(help="File of the outlines, for the recipe's option `outlines`.")],
    data: _Data = None,
    processes: Annotated[int, typer.Option(min=1, help="Slices that are read at once.")] = 2,
) -> None:
    """Outline the bodies of mid slices that have grades alone, where all that is found is plausible."""
    from spinenet.training.outlines_drawn import outline

    written, looked_at = outline(bundle, _recipe(recipe, data), out, processes=processes)
    say(f"Outlined {written} of {looked_at} slices ({out})")
