"""Weights: bundles, import of checkpoints, and fetching from a real server, with all that can go wrong."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from flows.cli.weights import weights_app
from spinenet import weights
from spinenet.errors import LicenceNotAccepted, WeightsError
from spinenet.weights import downloads
from spinenet.weights.bundle import Bundle, verified_bundle
from spinenet.weights.description import PARTS, read_description, sha256_of
from spinenet.weights.downloads import download
from spinenet.weights.networks import load_networks, save_bundle
from spinenet.weights.release import SPINENET_V2
from support.local_server import LocalServer, serve
from support.mounts import mounted
from support.tiny_networks import (
    TINY,
    tiny_bundle,
    tiny_checkpoints,
    tiny_networks,
    tiny_release,
    write_checkpoint,
)

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store, no proxy of the machine's own, and short pauses between attempts."""
    for name in (*PROXY_VARIABLES, *(name.lower() for name in PROXY_VARIABLES), "SPINENET_WEIGHTS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(downloads, "PAUSES_SECONDS", (0.01, 0.01))
    folder = tmp_path / "home"
    monkeypatch.setenv("SPINENET_HOME", str(folder))
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serve(folder) as running:
        yield running


@pytest.fixture
def blob(server: LocalServer) -> bytes:
    """Three megabytes, served as "blob"."""
    data = bytes(range(256)) * 12288
    (server.folder / "blob").write_bytes(data)
    return data


def files_below(folder: Path) -> set[str]:
    """Names of files, lock files aside."""
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def in_child(code: str, **environment: str) -> subprocess.Popen[str]:
    """Start Python code in a process that finds the tests' helpers."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent)])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestBundle:
    def test_networks_come_back_as_saved(self, tmp_path: Path) -> None:
        saved = tiny_networks(seed=3)
        loaded = load_networks(verified_bundle(tiny_bundle(tmp_path / "bundle", seed=3)))
        for part in PARTS:
            state = getattr(saved, part).state_dict()
            for key, tensor in getattr(loaded, part).state_dict().items():
                assert torch.equal(tensor, state[key]), f"{part} {key}"
            assert not getattr(loaded, part).training

    def test_half_precision_halves_the_size_and_reads_as_float32(self, tmp_path: Path) -> None:
        whole = tiny_bundle(tmp_path / "whole")
        save_bundle(
            tmp_path / "half",
            tiny_networks(),
            name="tiny",
            architecture=TINY,
            licence="",
            origin="",
            training_data="",
            figures={},
            dtype="float16",
        )
        sizes = [(tmp_path / name / "grading.safetensors").stat().st_size for name in ("half", "whole")]
        assert sizes[0] < 0.55 * sizes[1]
        half, full = (load_networks(verified_bundle(folder)) for folder in (tmp_path / "half", whole))
        for low, high in zip(half.grading.parameters(), full.grading.parameters(), strict=True):
            assert low.dtype == torch.float32
            assert torch.allclose(low, high, atol=1e-3)

    def test_fingerprint_depends_on_weights_alone(self, tmp_path: Path) -> None:
        prints = [verified_bundle(tiny_bundle(tmp_path / str(i), seed=i // 2)).fingerprint for i in range(3)]
        assert prints[0] == prints[1] != prints[2]

    def test_altered_file_is_refused(self, tmp_path: Path) -> None:
        folder = tiny_bundle(tmp_path / "bundle")
        data = bytearray((folder / "context.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "context.safetensors").write_bytes(data)
        with pytest.raises(WeightsError, match=r"context\.safetensors is not the file"):
            load_networks(verified_bundle(folder))

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        folder = tiny_bundle(tmp_path / "bundle")
        (folder / "grading.safetensors").unlink()
        with pytest.raises(WeightsError, match=r"grading\.safetensors is missing"):
            load_networks(verified_bundle(folder))

    def test_newer_format_is_refused(self, tmp_path: Path) -> None:
        folder = tiny_bundle(tmp_path / "bundle")
        text = (folder / "bundle.json").read_text()
        (folder / "bundle.json").write_text(text.replace('"format_version": 1', '"format_version": 3'))
        with pytest.raises(WeightsError, match="update spinenet"):
            load_networks(verified_bundle(folder))

    def test_architecture_that_the_files_do_not_fit(self, tmp_path: Path) -> None:
        folder = tiny_bundle(tmp_path / "bundle")
        text = (folder / "bundle.json").read_text()
        (folder / "bundle.json").write_text(text.replace('"hidden": 16', '"hidden": 17'))
        with pytest.raises(WeightsError, match=r"of wrong shape \(.*is \(16.*not \(17"):
            load_networks(verified_bundle(folder))

    def test_saving_networks_of_another_size_writes_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="context to save does not fit"):
            save_bundle(
                tmp_path / "bundle",
                tiny_networks(),
                name="tiny",
                architecture={**TINY, "context": {"width": 8}},
                licence="",
                origin="",
                training_data="",
                figures={},
            )
        assert not (tmp_path / "bundle").exists()


class TestImport:
    def convert(self, folder: Path, target: Path) -> Bundle:
        return weights.import_published(folder, target, tiny_release("http://example.invalid"))

    def test_checkpoints_become_a_bundle(self, tmp_path: Path) -> None:
        bundle = self.convert(tiny_checkpoints(tmp_path / "pt", seed=5), tmp_path / "bundle")
        wanted = tiny_networks(seed=5).detector.state_dict()
        for key, tensor in load_networks(bundle).detector.state_dict().items():
            assert torch.equal(tensor, wanted[key])

    def test_names_of_a_parallel_wrapper_are_accepted(self, tmp_path: Path) -> None:
        pt = tiny_checkpoints(tmp_path / "pt")
        state = {f"module.{key}": value for key, value in tiny_networks().context.state_dict().items()}
        write_checkpoint(pt, SPINENET_V2.checkpoints["context"], state)
        assert self.convert(pt, tmp_path / "bundle").name == "tiny-release"

    def test_what_does_not_match_is_named(self, tmp_path: Path) -> None:
        pt = tiny_checkpoints(tmp_path / "pt")
        state = dict(tiny_networks().context.state_dict())
        state["conv9.weight"] = state.pop("conv1.weight")
        state["conv1.bias"] = torch.zeros(5)
        write_checkpoint(pt, SPINENET_V2.checkpoints["context"], state)
        with pytest.raises(WeightsError) as caught:
            self.convert(pt, tmp_path / "bundle")
        for piece in (
            "ckpt16.pt",
            "1 missing (conv1.weight)",
            "1 not expected (conv9.weight)",
            "conv1.bias is (5,), not (4,)",
        ):
            assert piece in str(caught.value)
        assert not (tmp_path / "bundle").exists()

    def test_missing_checkpoint_is_named(self, tmp_path: Path) -> None:
        pt = tiny_checkpoints(tmp_path / "pt")
        (pt / "grading/ckpt1.pt").unlink()
        with pytest.raises(WeightsError, match=r"does not hold grading/ckpt1\.pt"):
            self.convert(pt, tmp_path / "bundle")

    def test_wrong_key_is_named(self, tmp_path: Path) -> None:
        pt = tiny_checkpoints(tmp_path / "pt")
        torch.save({"model": {}, "epoch": 1}, pt / "grading/ckpt1.pt")
        with pytest.raises(WeightsError, match="under 'model_weights'; it holds model, epoch"):
            self.convert(pt, tmp_path / "bundle")

    def test_code_in_a_checkpoint_is_not_run(self, tmp_path: Path) -> None:
        class Attack:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.system, (f"touch {tmp_path / 'owned'}",)

        pt = tiny_checkpoints(tmp_path / "pt")
        torch.save({"net": Attack()}, pt / "context/ckpt16.pt")
        with pytest.raises(WeightsError, match="no checkpoint that can be read safely"):
            self.convert(pt, tmp_path / "bundle")
        (pt / "context/ckpt16.pt").write_bytes(pickle.dumps({"net": Attack()}))
        with pytest.raises(WeightsError, match="no checkpoint that can be read safely"):
            self.convert(pt, tmp_path / "bundle")
        assert not (tmp_path / "owned").exists()


class TestDownload:
    def test_broken_connection_goes_on_where_it_broke(
        self, server: LocalServer, blob: bytes, tmp_path: Path
    ) -> None:
        server.break_after["blob"] = [1_500_000]
        download(f"{server.url}/blob", tmp_path / "blob")
        assert (tmp_path / "blob").read_bytes() == blob
        first, second = server.asked_for("blob")
        assert first is None
        assert second is not None
        assert int(second.removeprefix("bytes=").rstrip("-")) > 1_000_000

    def test_download_broken_for_good_goes_on_in_the_next_run(
        self, server: LocalServer, blob: bytes, tmp_path: Path
    ) -> None:
        server.break_after["blob"] = [1_200_000, 100_000, 0]
        with pytest.raises(WeightsError, match=r"broke off after \d+ bytes .* goes on from there"):
            download(f"{server.url}/blob", tmp_path / "blob")
        assert not (tmp_path / "blob").exists()
        had = (tmp_path / "blob.part").stat().st_size
        assert had > 1_000_000
        download(f"{server.url}/blob", tmp_path / "blob", sha256=sha256_of(server.folder / "blob"))
        assert (tmp_path / "blob").read_bytes() == blob
        assert server.asked_for("blob")[-1] == f"bytes={had}-"
        assert not list(tmp_path.glob("blob.part*"))

    def test_part_of_an_older_file_is_not_continued(
        self, server: LocalServer, blob: bytes, tmp_path: Path
    ) -> None:
        server.break_after["blob"] = [2_000_000, 0, 0]
        with pytest.raises(WeightsError):
            download(f"{server.url}/blob", tmp_path / "blob")
        (server.folder / "blob").write_bytes(blob[::-1])
        download(f"{server.url}/blob", tmp_path / "blob")
        assert (tmp_path / "blob").read_bytes() == blob[::-1]

    def test_whole_part_needs_no_more_bytes(self, server: LocalServer, blob: bytes, tmp_path: Path) -> None:
        server.break_after["blob"] = [2_000_000, 0, 0]
        with pytest.raises(WeightsError):
            download(f"{server.url}/blob", tmp_path / "blob")
        (tmp_path / "blob.part").write_bytes(blob)  # as if killed just before the move
        download(f"{server.url}/blob", tmp_path / "blob")
        assert (tmp_path / "blob").read_bytes() == blob

    def test_digest_mismatch_leaves_nothing(self, server: LocalServer, blob: bytes, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"refused and removed: its SHA-256 is .*, not 0000"):
            download(f"{server.url}/blob", tmp_path / "store" / "blob", sha256="0" * 64)
        assert files_below(tmp_path / "store") == set()

    def test_disk_full_while_writing(self, server: LocalServer, blob: bytes, tmp_path: Path) -> None:
        # A limit on file size is what a full disk looks like to one process: write() fails half way.
        child = in_child(
            "import resource, sys; from pathlib import Path\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
            "from spinenet.errors import WeightsError\n"
            "from spinenet.weights.downloads import download\n"
            f"try: download('{server.url}/blob', Path(r'{tmp_path}') / 'blob')\n"
            "except WeightsError as error: sys.exit(str(error))\n"
        )
        _, stderr = child.communicate(timeout=120)
        assert child.returncode == 1
        assert stderr.startswith("The disk is full: there is no room for")
        assert stderr.count("\n") == 1
        assert not (tmp_path / "blob").exists()

    def test_disk_too_small_is_seen_before_writing(
        self, server: LocalServer, blob: bytes, tmp_path: Path
    ) -> None:
        with mounted(tmp_path / "small", "size=1m"):
            with pytest.raises(WeightsError, match="The disk is full"):
                download(f"{server.url}/blob", tmp_path / "small" / "blob")
            assert files_below(tmp_path / "small") == set()

    def test_read_only_store(self, server: LocalServer, blob: bytes, tmp_path: Path) -> None:
        with (
            mounted(tmp_path / "locked", "size=16m,ro"),
            pytest.raises(WeightsError, match=r"cannot be written \(Read-only file system\)"),
        ):
            download(f"{server.url}/blob", tmp_path / "locked" / "blob")

    def test_store_below_a_file(self, server: LocalServer, blob: bytes, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(WeightsError, match=r"\(a file is in the way\); set SPINENET_HOME"):
            download(f"{server.url}/blob", tmp_path / "file" / "blob")

    def test_proxy_that_does_not_answer(
        self, server: LocalServer, blob: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and never listening: connections are refused
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@{address}")
            with pytest.raises(WeightsError) as caught:
                download(f"{server.url}/blob", tmp_path / "blob")
        assert f"through http://{address}: the proxy refused or does not answer" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert not server.requests
        assert not list(tmp_path.glob("blob*"))

    def test_host_that_does_not_answer(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/blob"
            with pytest.raises(WeightsError, match="cannot be reached; check the network"):
                download(url, tmp_path / "blob")

    def test_absent_file(self, server: LocalServer, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="was not served: status 404"):
            download(f"{server.url}/nothing", tmp_path / "nothing")
        assert not list(tmp_path.glob("nothing*"))

    def test_other_kinds_of_url(self, server: LocalServer, blob: bytes, tmp_path: Path) -> None:
        download((server.folder / "blob").as_uri(), tmp_path / "blob")
        assert (tmp_path / "blob").read_bytes() == blob
        with pytest.raises(WeightsError, match="cannot be read"):
            download((server.folder / "nothing").as_uri(), tmp_path / "nothing")


class TestFetchRelease:
    def test_fetched_converted_and_then_offline(self, server: LocalServer, home: Path) -> None:
        tiny_checkpoints(server.folder)
        release = tiny_release(server.url)
        bundle = weights.fetch_release(release, True)
        assert bundle.name == release.name
        assert load_networks(bundle)
        asked = len(server.requests)
        assert asked == len(PARTS)
        assert weights.fetch_release(release).folder == bundle.folder == home / release.name
        assert len(server.requests) == asked
        assert not (home / "downloads" / release.name).exists()

    def test_digests_of_the_checkpoints_are_recorded(self, server: LocalServer) -> None:
        tiny_checkpoints(server.folder)
        bundle = weights.fetch_release(tiny_release(server.url), True)
        sources = read_description(bundle.folder)["sources"]
        assert sources == {
            item.path: sha256_of(server.folder / item.path) for item in SPINENET_V2.checkpoints.values()
        }

    def test_licence_not_accepted_fetches_nothing(self, server: LocalServer, home: Path) -> None:
        tiny_checkpoints(server.folder)
        with pytest.raises(LicenceNotAccepted, match="must be accepted first"):
            weights.fetch_release(tiny_release(server.url), False)
        assert not server.requests
        assert not home.exists()

    def test_broken_fetch_goes_on(self, server: LocalServer, home: Path) -> None:
        tiny_checkpoints(server.folder)
        path = SPINENET_V2.checkpoints["grading"].path
        size = (server.folder / path).stat().st_size
        server.break_after[path] = [size // 2, 0, 0]
        release = tiny_release(server.url)
        with pytest.raises(WeightsError, match="goes on from there"):
            weights.fetch_release(release, True)
        assert not (home / release.name).exists()
        weights.fetch_release(release, True)
        assert [len(server.asked_for(item.path)) for item in SPINENET_V2.checkpoints.values()] == [1, 1, 1, 4]

    def test_digest_given_by_the_user(self, server: LocalServer, home: Path) -> None:
        tiny_checkpoints(server.folder)
        with pytest.raises(WeightsError, match=r"ckpt187\.pt was refused and removed"):
            weights.fetch_release(tiny_release(server.url), True, digests={"appearance/ckpt187.pt": "1" * 64})
        assert "ckpt187.pt" not in files_below(home)

    def test_manifest_of_a_mirror(self, server: LocalServer, home: Path) -> None:
        tiny_checkpoints(server.folder)
        items = SPINENET_V2.checkpoints.values()
        lines = [f"{sha256_of(server.folder / item.path)}  ./{item.path}\n" for item in items]
        (server.folder / "SHA256SUMS").write_text("".join([*lines[:3], f"{'2' * 64}  {lines[3][68:]}"]))
        release = tiny_release("http://127.0.0.1:1")
        with pytest.raises(WeightsError, match=r"ckpt1\.pt was refused"):
            weights.fetch_release(release, True, mirror=server.url)
        (server.folder / "SHA256SUMS").write_text("".join(lines))
        assert load_networks(weights.fetch_release(release, True, mirror=server.url))

    def test_page_in_place_of_a_checkpoint(self, server: LocalServer, home: Path) -> None:
        tiny_checkpoints(server.folder)
        (server.folder / "detect-vfr/ckpt435.pt").write_text("<html>Please log in to the network</html>")
        release = tiny_release(server.url)
        with pytest.raises(WeightsError, match="no checkpoint that can be read safely"):
            weights.fetch_release(release, True)
        assert files_below(home) == set()
        tiny_checkpoints(server.folder)
        assert load_networks(weights.fetch_release(release, True))

    def test_two_processes_at_once(self, server: LocalServer, home: Path) -> None:
        tiny_checkpoints(server.folder)
        server.seconds_per_answer = 0.5
        code = (
            "from support.tiny_networks import tiny_release; from spinenet import weights\n"
            f"print(weights.fetch_release(tiny_release('{server.url}'), True).folder)"
        )
        children = [in_child(code) for _ in range(2)]
        results = [child.communicate(timeout=240) for child in children]
        assert [child.returncode for child in children] == [0, 0], results
        assert {stdout.strip() for stdout, _ in results} == {str(home / "tiny-release")}
        assert [len(server.asked_for(item.path)) for item in SPINENET_V2.checkpoints.values()] == [1] * 4
        assert load_networks(verified_bundle(home / "tiny-release"))

    def test_disk_full_while_converting(self, server: LocalServer, home: Path) -> None:
        tiny_checkpoints(server.folder)
        release = tiny_release(server.url)
        sizes = [(server.folder / item.path).stat().st_size for item in release.checkpoints.values()]
        # room for the downloads, but for half of the bundle only
        with mounted(home, f"size={int(1.5 * sum(sizes))}"):
            with pytest.raises(WeightsError, match="The disk is full: there is no room for"):
                weights.fetch_release(release, True)
            assert not (home / release.name / "bundle.json").exists()
            assert not list((home / release.name).glob("*.safetensors"))


class TestFetchBundle:
    def test_by_url(self, server: LocalServer, home: Path) -> None:
        tiny_bundle(server.folder / "mine")
        url = f"{server.url}/mine"
        with pytest.raises(WeightsError, match=r"is not in .*weights fetch"):
            weights.resolve(url)
        bundle = weights.resolve(url, download=True)
        assert bundle.name == "tiny"
        assert load_networks(bundle)
        assert weights.resolve(f"{url}/").folder == bundle.folder
        assert files_below(home) == {"bundle.json", *(f"{part}.safetensors" for part in PARTS)}

    def test_altered_file_on_the_server(self, server: LocalServer, home: Path) -> None:
        folder = tiny_bundle(server.folder / "mine")
        (folder / "detector.safetensors").write_bytes(b"other")
        with pytest.raises(WeightsError, match=r"detector\.safetensors was refused"):
            weights.fetch(f"{server.url}/mine")
        assert not (home / "urls").exists() or not list((home / "urls").glob("*/"))

    def test_terms_that_the_bundle_demands(self, server: LocalServer) -> None:
        tiny_bundle(server.folder / "mine", acceptance_required=True)
        url = f"{server.url}/mine"
        assert weights.terms_of(url) == "Terms of the tiny bundle"
        with pytest.raises(LicenceNotAccepted):
            weights.fetch(url)
        assert load_networks(weights.fetch(url, True))

    def test_no_bundle_there(self, server: LocalServer) -> None:
        (server.folder / "bundle.json").write_text("<html></html>")
        with pytest.raises(WeightsError, match="not valid JSON"):
            weights.fetch(server.url)


class TestResolve:
    def test_published_weights_that_are_not_here_name_both_ways_on(self) -> None:
        with pytest.raises(WeightsError) as caught:
            weights.resolve("spinenet-v2")
        assert "`spinenet weights fetch spinenet-v2`" in str(caught.value)
        assert "`--weights synthetic`" in str(caught.value)

    def test_folder(self, tmp_path: Path) -> None:
        folder = tiny_bundle(tmp_path / "bundle")
        assert weights.resolve(folder).folder == folder
        assert weights.resolve(str(folder)).folder == folder

    def test_files_are_read_once_and_without_torch(self, tmp_path: Path) -> None:
        folder = tiny_bundle(tmp_path / "bundle")
        code = (
            "import sys; from spinenet import weights; from spinenet.errors import WeightsError\n"
            f"bundle = weights.resolve(r'{folder}')\n"
            "try: weights.resolve('nonesuch')\n"
            "except WeightsError: assert weights.PUBLISHED_TERMS\n"
            "assert 'torch' not in sys.modules\n"
            "assert len(bundle.digests) == 4 and bundle.detector_digest in bundle.digests.values()\n"
            "import hashlib\n"
            "from spinenet.weights.networks import load_networks\n"
            "def refuse(*given): raise AssertionError('hashed again')\n"
            "hashlib.file_digest = refuse\n"
            "load_networks(bundle)\n"
        )
        child = in_child(code)
        _, stderr = child.communicate(timeout=120)
        assert child.returncode == 0, stderr

    def test_folder_of_checkpoints_names_the_import(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="convert them with `spinenet weights import"):
            weights.resolve(tiny_checkpoints(tmp_path / "pt"))

    def test_unknown_name(self) -> None:
        with pytest.raises(
            WeightsError, match=r"neither a folder .* nor one of spinenet-v2, open, synthetic"
        ):
            weights.resolve("spinenet-v3")


class TestCommands:
    def run(self, *arguments: str) -> tuple[int, str, BaseException | None]:
        result = CliRunner().invoke(weights_app, arguments)
        return result.exit_code, result.output, result.exception

    def test_fetch_shows_the_terms_and_wants_them_accepted(self, home: Path) -> None:
        code, output, error = self.run("fetch")
        assert code != 0
        assert isinstance(error, LicenceNotAccepted)
        assert "University" in output
        assert not home.exists()

    def test_fetch_from_an_empty_mirror(self, server: LocalServer) -> None:
        _, _, error = self.run("fetch", "--accept-licence", "--mirror", server.url)
        assert isinstance(error, WeightsError)
        assert "detect-vfr/ckpt435.pt was not served: status 404" in str(error)

    def test_fetch_list_and_verify_a_bundle(self, server: LocalServer) -> None:
        tiny_bundle(server.folder)
        assert self.run("fetch", server.url)[0] == 0
        assert "Terms of the tiny bundle" in self.run("list")[1]
        code, output, _ = self.run("verify", server.url)
        assert code == 0
        assert "whole" in output

    def test_import_names_what_does_not_fit_the_published_sizes(self, tmp_path: Path) -> None:
        _, _, error = self.run("import", str(tiny_checkpoints(tmp_path / "pt")))
        assert isinstance(error, WeightsError)
        assert "ckpt435.pt does not fit its network" in str(error)
