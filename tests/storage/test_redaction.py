"""Passwords and signatures leave addresses; everything else of them stays."""

from __future__ import annotations

import pytest

from spinenet.storage.redaction import redacted


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
    ],
)
def test_secrets_are_taken_out(text: str, said: str) -> None:
    assert redacted(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/a@b:c/d",
        "abfs://container@account.dfs.core.windows.net:443/a",
        "sftp://me@host/a",
        "/data/me:you@home/a",
        "https://host/series?key=7&design=2",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text
