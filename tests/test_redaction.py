"""Passwords, tokens and signatures leave addresses; everything else of them stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.index_run import index_root
from spinenet.cohort.manifests.manifest import read_manifest
from spinenet.errors import ManifestError, RootError, StorageError
from spinenet.redaction import ENDINGS, PARAMETERS, TOKEN_BEFORE_HOST, bare, has_secret, redacted
from spinenet.storage import Store

HUSH = "hUsH"


def spellings(name: str) -> Iterator[str]:
    """Ways to write the name of a parameter that mean the same to a server."""
    encoded = "".join(f"%{ord(letter):02x}" for letter in name)
    yield from (name, name.upper(), name.title(), encoded, encoded.replace("%", "%25"))
    yield from (f"{name[:2]}_{name[2:]}", f"{name[:2]}%2D{name[2:]}", f"{name[:2]}-{name[2:]}")


def addresses() -> Iterator[str]:
    """Every kind of secret of the list, in every place where it may stand."""
    names = [*sorted(PARAMETERS), *sorted(ENDINGS), *(f"x-amz-{ending}" for ending in sorted(ENDINGS))]
    for name in names:
        for said in spellings(name):
            yield f"https://host/a.zip?{said}={HUSH}"
        yield f"https://host/a.zip?v=1&{name}={HUSH}&w=2"
        yield f"https://host/a.zip?v=1;{name}={HUSH}"
        yield f"https://host/a.zip#{name}={HUSH}"
        yield f"zip://*.dcm::simplecache::https://host/a.zip?{name}={HUSH}"
        yield f"s3://bucket/a?{name}={HUSH}"
        yield f"https://host/a?next=https%3A%2F%2Fother%2Fb%3F{name}%3D{HUSH}"
    for protocol in sorted(TOKEN_BEFORE_HOST):
        yield f"{protocol}://{HUSH}@host/a"
        yield f"{protocol.upper()}://{HUSH}@host/a"
        yield f"zip://a.dcm::{protocol}://{HUSH}@host/a.zip"
    for protocol in (*sorted(TOKEN_BEFORE_HOST), "s3", "sftp", "smb", "hdfs", "git+https"):
        for secret in (
            HUSH,
            f"{HUSH}@{HUSH}",
            f"{HUSH}/{HUSH}",
            f"{HUSH}%40",
            f"{HUSH}?{HUSH}",
            f"{HUSH}#{HUSH}",
        ):
            yield f"{protocol}://me:{secret}@host:8080/a"
            yield f"filecache::{protocol}://me:{secret}@host/a"
        yield f"{protocol}://:{HUSH}@host/a"


EVERY = list(addresses())


def test_a_bare_address_has_neither_user_nor_query_nor_secret() -> None:
    for address in EVERY:
        assert HUSH not in bare(address), address
    assert bare("https://me@host:80/a/b.zip?v=1&w=2#part") == "https://host:80/a/b.zip"
    assert bare("https://host/a;token=x/b.zip") == "https://host/a;token=***"


def test_every_secret_of_the_list_is_taken_out() -> None:
    assert len(EVERY) > 700
    assert [address for address in EVERY if not has_secret(address) or HUSH in redacted(address)] == []
    sentences = [f"cannot open {address}, sorry" for address in EVERY]
    assert [said for said in sentences if HUSH in redacted(said)] == []
    assert [address for address in EVERY if redacted(redacted(address)) != redacted(address)] == []


@pytest.mark.parametrize("address", EVERY[::97])
def test_an_address_with_a_secret_is_refused_everywhere(address: str, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f'scan_id,path\na,/data/a\nb,"{address}"\n', encoding="utf-8")
    refusals = []
    with pytest.raises(ManifestError, match="password, token or signature in the path of row 2") as caught:
        read_manifest(str(manifest))
    refusals.append(caught.value)
    with pytest.raises(ManifestError, match="holds a password, token or signature") as caught:
        read_manifest(address)
    refusals.append(caught.value)
    with pytest.raises(StorageError, match="holds a password, token or signature") as told:
        Store.at(address)
    with pytest.raises(RootError, match="holds a password, token or signature") as of_root:
        index_root(address, str(tmp_path / "index.parquet"))
    assert not [error for error in (*refusals, told.value, of_root.value) if HUSH in str(error)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://me:hush@host:8080/a?b=c", "https://***@host:8080/a?b=c"),
        ("sftp://me:hu@sh@host/a", "sftp://***@host/a"),
        ("no way to s3://key:hush@bucket/a, sorry", "no way to s3://***@bucket/a, sorry"),
        (
            "https://a.blob.core.windows.net/c?sv=1&sig=hush%3D&se=2",
            "https://a.blob.core.windows.net/c?sv=1&sig=***&se=2",
        ),
        (
            "https://b.s3/a?X-Amz-Credential=hush&X-Amz-Signature=hush",
            "https://b.s3/a?X-Amz-Credential=***&X-Amz-Signature=***",
        ),
        ("AccountName=a;AccountKey=hush==;BlobEndpoint=x", "AccountName=a;AccountKey=***;BlobEndpoint=x"),
        ("AccountKey=hush==", "AccountKey=***"),
    ],
)
def test_secrets_are_taken_out(text: str, said: str) -> None:
    assert redacted(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a@b:c/d",
        "abfs://container@account.dfs.core.windows.net:443/a",
        "github://org:repo@main/data",
        "sftp://me@host/a",
        "/data/me:you@home/a",
        "https://host:8080/a@b/c:d@e",
        "https://[::1]:8080/a@b",
        "https://host/series?keyword=7&design=2&sv=3&codes=1&monkey=4",
        "https://host/a%20b?mail=me@home",
        "https://host/a?token=",
        "the worker ended with code=7 and key=8",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("path", ["/data/a?key=7", "sub-01?code=b;pin=c", "C:\\scans\\x?sig=1"])
def test_a_path_on_a_disk_holds_no_secret(path: str) -> None:
    assert not has_secret(path)
