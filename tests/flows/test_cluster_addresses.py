"""What stands for a cluster and what does not."""

from __future__ import annotations

import pytest

from flows.clusters.names import check_cluster_name
from spinenet.errors import ClusterNameError


@pytest.mark.parametrize(
    "name",
    ["local", "tcp://127.0.0.1:8786", "tcp://node-1.example_a:1", "tls://scheduler:65535",
     "tcp://[::1]:8786", "tcp://[fe80::1%eth0]:8786", "ws://scheduler:80/path", "tcp://host:8786/"],
)  # fmt: skip
def test_taken(name: str) -> None:
    check_cluster_name(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "there is no cluster"),
        ("Local", "there is no cluster"),
        (" local", "there is no cluster"),
        ("slurmm", "there is no cluster"),
        ("host:8786", "there is no cluster"),
        ("http://host:8786", "there is no cluster"),
        ("tcp:/host:8786", "there is no cluster"),
        ("tcp://", "names no host"),
        ("tcp://:8786", "names no host"),
        ("tcp://a b:8786", "names no host"),
        ("tcp://host", "has no port"),
        ("tcp://host:", "has no port"),
        ("tcp://host:0", "has no port"),
        ("tcp://host:65536", "has no port"),
        ("tcp://host:port", "has no port"),
        ("tcp://host:-1", "has no port"),
        ("tcp://[::1:8786", "unfinished bracket"),
        ("tcp://host:8786/path", "goes on after the port"),
        ("tcp://host:8786?x=1", "goes on after the port"),
        ("tcp://me:secret@host:8786", "holds a user or a password"),
    ],
)
def test_refused(name: str, told: str) -> None:
    with pytest.raises(ClusterNameError, match=told) as caught:
        check_cluster_name(name)
    assert "secret" not in str(caught.value)
