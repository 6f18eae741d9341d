"""The distribution ``spinenet-cohort``, whose import is ``spinenet``, and its quarrel with another one.

The distribution that registries call ``spinenet`` is another project's and writes its files to the same
package. This module lies outside that package, so that it is still there when those files have replaced ours.
"""

from __future__ import annotations

import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

NAME = "spinenet-cohort"
_OTHER = "spinenet"
_COMMAND = "flows.cli:main"


def check_alone() -> None:
    """Raise where another distribution has written, or may write, to our package.

    Raises
    ------
    ImportError
        One sentence that says what is installed and how to mend it.
    """
    package = Path(__file__).parent / "spinenet"
    spec = find_spec("spinenet")
    found = Path(spec.origin).parent if spec is not None and spec.origin else None
    first = package / "__init__.py"
    if found is None or not _same(found, package):
        raise ImportError(f"`import spinenet` finds another project's package, not {NAME}'s; {_mend()}")
    if f"import {__name__}" not in first.read_text(encoding="utf-8"):
        raise ImportError(f"another distribution has replaced files of {NAME} in {package}; {_mend()}")
    for other in metadata.distributions(name=_OTHER):
        # this project once bore that name itself
        ours = any(command.value == _COMMAND for command in other.entry_points)
        if not ours and _same(Path(str(other.locate_file("spinenet"))), package):
            raise ImportError(
                f"{NAME} and another project's {_OTHER} {other.version} are both installed in "
                f"{package.parent}, and both write to the package spinenet; {_mend()}"
            )


def _same(one: Path, two: Path) -> bool:
    return one.resolve() == two.resolve()


def _mend() -> str:
    pip = f"{sys.executable} -m pip"
    return (
        f"remove both and install the one that you want: `{pip} uninstall {_OTHER} {NAME}`, then "
        f"`{pip} install {NAME}`"
    )
