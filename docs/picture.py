"""The architecture's picture: the library's rooms, by what each imports, and the way of one scan."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path

LIBRARY = Path(__file__).parents[1] / "spinenet"

WAY: Sequence[tuple[str, str, str]] = (
    ("files", "DICOM, NIfTI, MetaImage; folders, archives, URLs", ""),
    ("Scan", "voxels, spacings, affine; or a reason why there is none", "readers"),
    ("patches", "windows of each slice, on square pixels", "stages"),
    ("response maps", "corners, centres and the vectors between them", "networks"),
    ("outlines", "four corners of each body in each slice", "stages"),
    ("vertebrae", "outlines of one body, joined over slices", "stages"),
    ("levels", "how each looks, and where: the likeliest order", "networks"),
    ("disc volumes", "the space between two neighbours, turned upright", "stages"),
    ("grades", "probabilities of the classes of 11 findings", "networks"),
    ("rows", "of scans, vertebrae and grades; committed by shard", "cohort"),
    ("tables", "Parquet, every row of the manifest accounted for", "cohort"),
)
"""What a scan is on its way, in order: name, what it is, and the room that makes it."""

COLOURS: Mapping[str, str] = {
    "readers": "#cfe3f7",
    "stages": "#d3edd3",
    "networks": "#fbe0c3",
    "cohort": "#e4d7f2",
}
PLAIN, INK, FAINT = "#f1f1ee", "#22303c", "#6b7780"

WIDTH, LEFT, FLOOR, GAP = 960, 500, 52, 8
TOP, WAY_X, WAY_WIDTH = 64, 560, 376


def needs() -> Mapping[str, frozenset[str]]:
    """Each room of the library's top floor, and the rooms that it imports from."""
    homes = defaultdict(list)
    for file in LIBRARY.rglob("*.py"):
        parts = file.relative_to(LIBRARY).with_suffix("").parts
        if parts != ("__init__",):
            homes[parts[0]].append(file)
    return {
        room: frozenset(name for file in files for name in _imported(file) if name in homes) - {room}
        for room, files in homes.items()
    }


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith(f"{LIBRARY.name}."))


def floors(below: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Rooms from the ground up: each above all that it needs, those that need each other on one floor."""

    @cache
    def reached(room: str) -> frozenset[str]:
        seen: set[str] = set()
        todo = set(below[room])
        while todo:
            seen |= todo
            todo = {name for room in todo for name in below[room]} - seen
        return frozenset(seen)

    @cache
    def height(room: str) -> int:
        return max((height(name) + 1 for name in reached(room) if room not in reached(name)), default=0)

    levels = defaultdict(list)
    for room in sorted(below):
        levels[height(room)].append(room)
    return [levels[level] for level in sorted(levels)]


def picture() -> str:
    """The picture as a block of raw HTML for MyST."""
    house = floors(needs())
    rows = len(house) + 1
    step = FLOOR + GAP
    tall = TOP + max(rows * step, len(WAY) * step) + 8
    spare = (tall - TOP - 8 - rows * step) / rows
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {tall:.0f}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="system-ui, sans-serif" style="width:100%;height:auto">',
        "<title>The rooms of the library by their imports, and the way of one scan</title>",
        f'<rect width="{WIDTH}" height="{tall:.0f}" rx="10" fill="#ffffff"/>',
        *_heading(LEFT / 2 + 10, "The rooms: imports only go down"),
        *_heading(WAY_X + WAY_WIDTH / 2, "The way of one scan"),
    ]
    for level, names in enumerate([*house, ["flows: Prefect, Dask, the command spinenet"]]):
        y = TOP + (rows - 1 - level) * (step + spare)
        parts += _floor(y, FLOOR + spare, names)
    parts += _way(step)
    return "\n".join(["```{raw} html", *parts, "</svg>", "```"])


def _heading(x: float, text: str) -> Iterator[str]:
    yield _text(x, 38, text, 17, weight=600)


def _floor(y: float, height: float, names: Sequence[str]) -> Iterator[str]:
    width = (LEFT - GAP * (len(names) - 1)) / len(names)
    for place, name in enumerate(names):
        x = 20 + place * (width + GAP)
        yield _box(x, y, width, height, COLOURS.get(name, PLAIN))
        yield _text(x + width / 2, y + height / 2 + 5, name, 15)


def _way(step: float) -> Iterator[str]:
    for place, (name, told, room) in enumerate(WAY):
        y = TOP + place * step
        yield _box(WAY_X, y, WAY_WIDTH, FLOOR - 6, COLOURS.get(room, PLAIN))
        yield _text(WAY_X + WAY_WIDTH / 2, y + 19, name, 15, weight=600)
        yield _text(WAY_X + WAY_WIDTH / 2, y + 37, told, 12.5, FAINT if not room else INK)
        if place:
            arrow = f"M{WAY_X + WAY_WIDTH / 2:.1f} {y - GAP - 5:.1f}V{y - 1:.1f}m-4 -5l4 5 4 -5"
            yield f'<path d="{arrow}" fill="none" stroke="{INK}"/>'


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {size} rx="6" fill="{colour}" stroke="#00000022"/>'


def _text(x: float, y: float, text: str, size: float, colour: str = INK, weight: int = 400) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle"'
    return f'<text {place} font-size="{size}" font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
