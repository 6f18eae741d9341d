"""Text that the site's pages take from the code: a comment ``<!-- made: NAME ... -->`` is replaced by it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import itertools
import json
import pkgutil
import re
import tomllib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import typer
from picture import picture

import spinenet
from flows.cli.app import app
from spinenet.anatomy import FINDINGS, REASONS, SURROUNDINGS, Finding
from spinenet.cohort.tables import TABLES, schema, to_table
from spinenet.readers.dicom.facts import FLAGS
from spinenet.types import CORNERS

HERE = Path(__file__).parent
ROOT = HERE.parent
PLACE = re.compile(r"^<!-- made: (\w+)(?: (.+))? -->$", re.MULTILINE)
TIME = re.compile(r"(?!_)[A-Z_]*(_S|SECONDS[A-Z_]*)")
"""Names of public constants that are times, in seconds."""
ATTRIBUTE = re.compile(r"^(\w+)\n((?: {4}.+\n?)+)", re.MULTILINE)
"""An attribute in a class's docstring, and what is said of it."""
FEW = 6
"""Words of a coded column that are listed."""


def filled(text: str) -> str:
    """A page with the text that it asks for.

    Raises
    ------
    KeyError
        It asks for what is not made here.
    """
    return PLACE.sub(lambda place: MADE[place[1]](*filter(None, [place[2]])), text)


def said(file: str) -> Mapping[str, object]:
    """The sentences of a TOML file beside this one."""
    return tomllib.loads((HERE / file).read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def columns(name: str) -> str:
    """The data dictionary of a table: each column, its type and what it holds."""
    told = said("columns.toml")[name]
    assert isinstance(told, dict)
    sentences = dict(spelled_out(told))
    empty = to_table(name, [])
    rows = [
        (f"`{field.name}`", _type(empty.column(field.name)), sentences[field.name]) for field in schema(name)
    ]
    return table(("column", "type", "holds"), rows)


def spelled_out(told: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(column, sentence), with the names that stand for several columns spelled out."""
    for name, sentence in told.items():
        if "{finding}" in name:
            for finding in FINDINGS:
                values = ", ".join(map(str, finding.values))
                for value in finding.values:
                    parts = {"finding": finding.name, "value": value, "values": values}
                    yield name.format(**parts), sentence.format(**parts)
        elif "{axis}" in name:
            for corner in CORNERS:
                for axis in "xyz":
                    yield name.format(corner=corner, axis=axis), sentence
        else:
            yield name, sentence


def _type(column: pa.ChunkedArray) -> str:
    kind = column.type
    if pa.types.is_list(kind):
        return f"list of {kind.value_type}"
    if pa.types.is_floating(kind):
        return f"float{kind.bit_width}"
    if not pa.types.is_dictionary(kind):
        return str(kind)
    words = [f"`{word}`" for word in column.chunk(0).dictionary.to_pylist()]
    return ", ".join(words) if len(words) <= FEW else f"{words[0]} ... {words[-1]}, one of {len(words)}"


def findings() -> str:
    """The graded findings, their values and the published names."""

    def kind(finding: Finding) -> str:
        return "ordinal" if finding.ordinal else "binary"

    rows = [
        (f"`{f.name}`", f"{f.values[0]} to {f.values[-1]}", kind(f), f"`{f.published_name}`")
        for f in FINDINGS
    ]
    return table(("finding", "values", "scale", "column of the published package"), rows)


def reasons(whose: str) -> str:
    """Reason codes, of the ``surroundings`` or of the ``scan``, with what to do about each."""
    advice = said("advice.toml")
    wanted = [code for code in REASONS if (code in SURROUNDINGS) == (whose == "surroundings")]
    return table(
        ("reason", "says", "what to do"),
        [(f"`{code}`", REASONS[code], str(advice[code])) for code in wanted],
    )


def flags() -> str:
    """Codes of the column ``flags``."""
    return table(("flag", "says"), [(f"`{code}`", text) for code, text in FLAGS.items()])


def times() -> str:
    """Every time limit and wait that the code names and describes, in seconds, by module."""
    rows = [
        (f"`{module}.{name}`", ", ".join(f"{one:g}" for one in seconds), _plain(" ".join(text.split())))
        for module in _modules_below("spinenet", "flows")
        for name, seconds, text in _times_of(_tree(module).body)
    ]
    return table(("constant", "seconds", "is"), rows)


def _times_of(body: Sequence[ast.stmt]) -> Iterator[tuple[str, tuple[float, ...], str]]:
    """(name, seconds, docstring) of a module's public constants and classes' defaults that are times."""
    for one, after in itertools.pairwise([*body, ast.Pass()]):
        match one, after:
            case ast.Assign(targets=[ast.Name(name)]), ast.Expr(ast.Constant(str(text))):
                if TIME.fullmatch(name):
                    seconds = ast.literal_eval(one.value)
                    yield name, seconds if isinstance(seconds, tuple) else (seconds,), text
            case ast.ClassDef(), _:
                attributes = dict(ATTRIBUTE.findall(ast.get_docstring(one) or ""))
                for field in one.body:
                    match field:
                        case ast.AnnAssign(ast.Name(name), value=ast.Constant(float(seconds))):
                            if name.endswith("_s") and name in attributes:
                                yield f"{one.name}.{name}", (seconds,), attributes[name]


def _modules_below(*packages: str) -> list[str]:
    """Every module of some packages by its dotted name, without importing them."""
    files = [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]
    return [".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in files]


def commands() -> str:
    """Every command with its arguments and options."""
    return "\n\n".join(_command("spinenet", typer.main.get_command(app)))


def _command(name: str, command: object) -> Iterator[str]:
    below = getattr(command, "commands", {})
    yield f"{'##' if below else '###' if name.count(' ') > 1 else '##'} `{name}`\n\n{_help(command)}"
    rows = []
    for parameter in getattr(command, "params", []):
        option = parameter.param_type_name == "option"
        names = [*parameter.opts, *parameter.secondary_opts] if option else [parameter.name.upper()]
        rows.append(
            (", ".join(f"`{n}`" for n in names), _help(parameter), _default(parameter) if option else "")
        )
    if rows:
        yield table(("argument or option", "is", "default"), rows)
    for word, inner in below.items():
        yield from _command(f"{name} {word}", inner)


def _help(thing: object) -> str:
    return " ".join(inspect.cleandoc(getattr(thing, "help", None) or "").split())


def _default(parameter: object) -> str:
    value = getattr(parameter, "default", None)
    return "" if value is None or callable(value) or isinstance(value, bool) else f"`{value}`"


def rooms() -> str:
    """The packages and modules of the top floor, with the first line of each docstring."""
    names = ["spinenet", *(f"spinenet.{m.name}" for m in pkgutil.iter_modules(_path("spinenet")))]
    return table(
        ("module", "is"),
        [(f"`{n}`", _first_line(n)) for n in [*names, "flows", *_modules("flows")]],
    )


def _modules(package: str) -> list[str]:
    return [f"{package}.{m.name}" for m in pkgutil.iter_modules(_path(package)) if not m.name.startswith("_")]


def _path(package: str) -> list[str]:
    return list(importlib.import_module(package).__path__)


def _first_line(module: str) -> str:
    """Of a module's docstring, without importing it."""
    return _plain((ast.get_docstring(_tree(module)) or "").partition("\n")[0])


def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _plain(text: str) -> str:
    """A docstring's text without the roles of reStructuredText."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


def readme(heading: str) -> str:
    """A section of the README by its heading, or one of its steps by the bold words that begin it.

    Raises
    ------
    KeyError
        There is no such section.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)"
    step = rf"^\*\*\d+\. {re.escape(heading)}\*\* (.*?)(?=^\*\*\d+\. |^#+ |\Z)"
    for pattern in (section, step):
        if found := re.search(pattern, text, re.MULTILINE | re.DOTALL):
            return re.sub(r"\]\(docs/", "](/", found[1].strip()).replace("```csv", "```text")
    raise KeyError(heading)


def notebook(name: str) -> str:
    """A tutorial's text and code, without what it prints and draws."""
    cells = json.loads((ROOT / "tutorials" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in cells]
    return "\n\n".join(f"```ipython\n{text}\n```" if code else text for text, code in texts)


def results() -> str:
    """The class of what ``spinenet.read_results`` returns, wherever it is defined."""
    kind = typing.get_type_hints(spinenet.read_results)["return"]
    members = ", ".join([*TABLES, "table"])
    return f"""```{{eval-rst}}
.. autoclass:: {kind.__module__}.{kind.__qualname__}()
   :members: {members}
```"""


MADE: Mapping[str, Callable[..., str]] = {
    "columns": columns,
    "commands": commands,
    "findings": findings,
    "flags": flags,
    "notebook": notebook,
    "picture": picture,
    "readme": readme,
    "reasons": reasons,
    "results": results,
    "rooms": rooms,
    "times": times,
}
