"""Makes certificates for the Dask processes of one user: ``python -m flows.clusters.certificates FOLDER``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from distributed import Security

_ROLES = ("client", "scheduler", "worker")


def settings(ca: str, cert: str, key: str) -> Mapping[str, str | bool]:
    """Dask's settings for one certificate of all roles; each argument is a file's name or its text."""
    tls = "distributed.comm.tls"
    files = {"cert": cert, "key": key}
    roles = {f"{tls}.{role}.{name}": file for role in _ROLES for name, file in files.items()}
    return {"distributed.comm.require-encryption": True, f"{tls}.ca-file": ca, **roles}


def write_certificates(security: Security, folder: Path) -> Mapping[str, str]:
    """Write a certificate and its key to files that only their owner can read.

    Parameters
    ----------
    security
        One certificate for all roles, as :meth:`distributed.Security.temporary` makes it.
    folder
        Folder for the files; made where it does not exist.

    Returns
    -------
    Mapping
        Environment variables by which Dask's processes and ``spinenet run --cluster tls://...`` use them.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    tls = security.get_tls_config_for_role("client")
    files = {name: folder / f"dask.{name}" for name in ("cert", "key")}
    for name, file in files.items():
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(tls[name], encoding="ascii")
    cert, key = str(files["cert"].resolve()), str(files["key"].resolve())
    return {
        "DASK_" + name.upper().replace(".", "__").replace("-", "_"): str(value)
        for name, value in settings(cert, cert, key).items()
    }


def main() -> None:
    """Write new certificates and print the environment variables to export."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m flows.clusters.certificates FOLDER")
    for name, value in write_certificates(Security.temporary(), Path(sys.argv[1])).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


if __name__ == "__main__":
    main()
