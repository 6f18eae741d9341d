"""The card of a finding that was learnt, in Markdown, for whoever is to use its bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spinenet.added_findings import AddedFinding
from spinenet.training.card import table

_WITHOUT_INTERVAL = ("examples", "subjects", "given", "folds", "learnt_from")


def card(name: str, base: str, finding: AddedFinding, about: Mapping[str, Any]) -> str:
    """The card of a bundle with one more finding.

    Parameters
    ----------
    name, base
        Of the new bundle, and of the one that it was made of.
    about
        What ``bundle.json`` says of the finding beside its coding.
    """
    told, labels = about["figures"], about["labels"]
    coding = [(str(code), text) for code, text in zip(finding.codes, finding.meanings, strict=True)]
    rows = [("test side", told["test"])]
    if "cross_validation" in told:
        rows.append((f"{told['cross_validation']['folds']} folds", told["cross_validation"]))
    rows += [(f"learnt from {point['learnt_from']} subjects", point) for point in told.get("curve", ())]
    return (
        "\n\n".join(
            [
                f"# {name}",
                f"The bundle {base} as it is, and the finding `{finding.name}` of a {finding.of}"
                f" ({finding.scale}), learnt from {labels['examples']} labels of"
                f" {labels['subjects']} subjects.",
                table(("code", "says"), coding),
                "## Figures on subjects that were not learnt from, with 95 % intervals over subjects",
                _figures(rows),
                "Probabilities are those of a world in which classes are as frequent as they weighed in"
                f" training (balance {about['training']['balance']:g}): for 1, equally frequent.",
                "For research only: no medical device.",
            ]
        )
        + "\n"
    )


def _figures(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    names = [name for name in rows[0][1] if name not in _WITHOUT_INTERVAL]
    lines = [
        (what, str(told["examples"]), str(told["subjects"]), *(_interval(told[name]) for name in names))
        for what, told in rows
    ]
    return table(("on", "labels", "subjects", *names), lines)


def _interval(values: Sequence[float | None]) -> str:
    if values[0] is None:
        return "not known"
    low, high = ("?" if value is None else f"{value:.2f}" for value in values[1:])
    return f"{values[0]:.2f} ({low} to {high})"
