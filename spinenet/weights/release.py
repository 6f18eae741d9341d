"""The published SpineNetV2 checkpoints: where they are, under what terms, and what is in them; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spinenet.anatomy import FINDINGS
from spinenet.networks.shapes import PUBLISHED_ARCHITECTURE, Architecture
from spinenet.weights.domain import Domain
from spinenet.weights.names import PUBLISHED

PUBLISHER_URL = "https://www.robots.ox.ac.uk/~vgg/research/spinenet"
PUBLISHED_URL = f"{PUBLISHER_URL}/weights"
PUBLISHED_TERMS = f"""\
The SpineNetV2 weights were trained and are published by the Visual Geometry Group of the University of
Oxford. They are no part of this package. They, and what is computed with them, come under the
University's own terms, which are published with them at
{PUBLISHER_URL}/ and which you must read and accept before you fetch
or use them: in short, research and no commerce. They are not a medical device; no diagnosis and no
decision about a patient may rest on them.
"""


@dataclass(frozen=True)
class Checkpoint:
    """A published file: its path below the base URL, and the key of the state dict in it."""

    path: str
    key: str


@dataclass(frozen=True)
class Release:
    """A set of four checkpoints served under one URL.

    Attributes
    ----------
    name
        Name of the bundle that they are converted to.
    base_url
        URL below which the checkpoints lie.
    checkpoints
        One for each of the four networks, by its name.
    architecture
        Sizes of the networks, which the checkpoints must fit.
    terms
        Terms of use, to be accepted before fetching.
    domain
        What they are for; None where that is not known.
    """

    name: str
    base_url: str
    checkpoints: Mapping[str, Checkpoint]
    architecture: Architecture
    terms: str
    domain: Domain | None = None


PUBLISHED_DOMAIN = Domain(
    purpose="Finding, naming and grading in lumbar T2 scans, as SpineNetV2 was published.",
    sequences=("T2",),
    regions=("lumbar",),
    works="Lumbar T2, by its publishers (arXiv:2205.01683, arXiv:2007.02606).",
    fails="Grades of other contrasts and regions; nothing of it was judged by this project.",
    validated=tuple(finding.name for finding in FINDINGS),
)

SPINENET_V2 = Release(
    name=PUBLISHED,
    base_url=PUBLISHED_URL,
    checkpoints={
        "detector": Checkpoint("detect-vfr/ckpt435.pt", "net"),
        "appearance": Checkpoint("appearance/ckpt187.pt", "net"),
        "context": Checkpoint("context/ckpt16.pt", "net"),
        "grading": Checkpoint("grading/ckpt1.pt", "model_weights"),
    },
    architecture=PUBLISHED_ARCHITECTURE,
    terms=PUBLISHED_TERMS,
    domain=PUBLISHED_DOMAIN,
)
