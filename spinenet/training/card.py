"""The model card: what a trained network or bundle is, in Markdown, for whoever is to use it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from spinenet.training.averaging import Average
from spinenet.training.checkpoints import Checkpoint
from spinenet.training.history import Row
from spinenet.training.recipe import Recipe


def card(
    title: str,
    checkpoints: Sequence[Checkpoint],
    figures: Mapping[str, Any] | None = None,
    averages: Mapping[str, Average] | None = None,
    others: Sequence[str] = (),
) -> str:
    """The card of the networks of some checkpoints.

    Parameters
    ----------
    title
        What the bundle or the training is called.
    figures
        Scores of the whole bundle, JSON values, such as :func:`spinenet.training.scoring.figures` gives.
    averages
        With what trained networks were averaged, by network.
    others
        Sections of networks that were taken of another bundle.
    """
    parts = [
        f"# {title}",
        *(_network(one, (averages or {}).get(one.recipe.network)) for one in checkpoints),
        *others,
        *([f"## Figures of the bundle\n\n```json\n{json.dumps(figures, indent=2)}\n```"] if figures else []),
        "For research only: no medical device.",
    ]
    return "\n\n".join(parts) + "\n"


def sentences(words: Iterable[str]) -> str:
    """Different sentences, one after the other, on one line."""
    return " ".join(dict.fromkeys(" ".join(word.split()) for word in words if word.strip()))


def _network(checkpoint: Checkpoint, average: Average | None) -> str:
    recipe = checkpoint.recipe
    hours = checkpoint.seconds / 3600
    facts = {
        "steps": f"{checkpoint.step} of {recipe.steps}, {recipe.batch} samples each",
        **({"weights": _of_both(average)} if average else {}),
        "time": f"{hours:.1f} hours" if hours >= 1 else f"{checkpoint.seconds:.0f} seconds",
        "hardware": checkpoint.hardware,
        "versions": ", ".join(f"{name} {version}" for name, version in checkpoint.versions.items()),
        "recipe": f"fingerprint `{recipe.fingerprint(checkpoint.digests)}`",
        "data": sentences([recipe.data]) or "not told",
        "licence": sentences([recipe.licence]) or "not told",
    }
    return "\n\n".join(
        [
            f"## {recipe.network}",
            "\n".join(f"- {name}: {text}" for name, text in facts.items()),
            f"### Sources\n\n{table(('kind', 'path', 'share'), _sources(recipe))}",
            f"### Held-out scores\n\n{_scores(checkpoint.history)}",
            f"### Recipe\n\n```json\n{json.dumps(recipe.plain(), indent=2)}\n```",
        ]
    )


def _of_both(average: Average) -> str:
    return f"{1 - average.share:.0%} of the trained ones and {average.share:.0%} of those of {average.bundle}"


def _sources(recipe: Recipe) -> Iterator[tuple[str, ...]]:
    whole = sum(entry.share for entry in recipe.sources)
    for entry in recipe.sources:
        yield entry.kind, entry.path or "", f"{100 * entry.share / whole:.0f} %"


def _scores(history: Sequence[Row]) -> str:
    """The latest held-out scores and the best of each, with their steps."""
    names = list(dict.fromkeys(name for row in history for name in row if "/" in name))
    if not names:
        return "None were asked for."
    rows = []
    for name in names:
        scored = [(row[name], int(row["step"])) for row in history if name in row]
        value, step = scored[-1]
        best, at = (min if name.endswith("/loss") else max)(scored)
        rows.append((name, f"{value:.4g} (step {step})", f"{best:.4g} (step {at})"))
    return table(("score", "last", "best"), rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
