"""Milliseconds a frame of every decoder that pydicom offers, each in a virtual environment of its own.

``PYTHONPATH=.:tests python tests/benchmarks/decoders.py`` encodes a synthetic scan of 512 x 512
pixels, 16 bits of which 12 are used, in each lossless encoding; installs each plugin by pip into an
environment that is thrown away; and tells for each what it takes, whether all pixels are right, and what
damaged streams do to it, but for those that claim another size than the header, which the readers refuse.

docs/decoders.md says which decoders the readers take, and what this printed of them.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

SYNTAXES = {
    "JPEG lossless": JPEGLosslessSV1,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
    "RLE": RLELossless,
}
BASE = ("pydicom>=3.0,<4", "numpy>=2.0,<3")
PACKAGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "pylibjpeg-libjpeg": ("pylibjpeg", ("pylibjpeg>=2.0,<3", "pylibjpeg-libjpeg>=2.1,<3")),
    "pylibjpeg-openjpeg": ("pylibjpeg", ("pylibjpeg>=2.0,<3", "pylibjpeg-openjpeg>=2.0,<3")),
    "pylibjpeg-rle": ("pylibjpeg", ("pylibjpeg>=2.0,<3", "pylibjpeg-rle>=2.0,<3")),
    "python-gdcm": ("gdcm", ("python-gdcm>=3.0,<4",)),
    "imagecodecs": ("imagecodecs", ("imagecodecs>=2026.3.6,<2027",)),
    "pyjpegls": ("pyjpegls", ("pyjpegls>=1.3,<2",)),
    "pillow": ("pillow", ("pillow>=11,<13",)),
    "pydicom": ("pydicom", ()),
}
"""pydicom's name of the plugin, and what is installed for it."""

SIZE, FRAMES, BITS = 512, 20, 12
ROUNDS = 3
THREADS = 2
DAMAGED = 400
MEMORY = 4 << 30
"""Bytes that a process which decodes them may take."""
SECONDS = 120.0
"""Time limit of all damaged streams of a plugin together."""


def say(text: str) -> None:
    """Tell the user a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def frames() -> np.ndarray:
    """(frames, rows, columns) uint16 of a synthetic scan, enlarged, with a receiver's noise."""
    from scipy.ndimage import zoom

    from spinenet.synthetic.image import render

    volume = render(0).scan.volume
    enlarged = zoom(volume, [size / n for size, n in zip((SIZE, SIZE, FRAMES), volume.shape, strict=True)])
    scaled = enlarged / enlarged.max() * (0.8 * 2**BITS)
    noise = np.random.default_rng(0).normal(0, 2**BITS / 100, scaled.shape)
    stored: np.ndarray = np.clip(scaled + noise, 0, 2**BITS - 1).round().astype(np.uint16)
    return stored.transpose(2, 0, 1).copy()


def encoders() -> dict[str, Callable[[np.ndarray], bytes]]:
    """One frame to its codestream, by the encoding's name; JPEG lossless has no encoder in pydicom."""
    from pydicom.pixels.encoders.base import get_encoder

    from support import jpeg_lossless

    def by_pydicom(name: str) -> Callable[[np.ndarray], bytes]:
        encoder = get_encoder(SYNTAXES[name])
        return lambda frame: encoder.encode(frame, index=None, **described())

    named = {name: by_pydicom(name) for name in ("JPEG-LS", "JPEG 2000", "RLE")}
    return {"JPEG lossless": jpeg_lossless.encode} | named


def described() -> dict[str, Any]:
    """What pydicom is told of a frame."""
    return {
        "rows": SIZE,
        "columns": SIZE,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": 16,
        "bits_stored": BITS,
        "pixel_representation": 0,
        "number_of_frames": 1,
    }


def write_frames(folder: Path) -> None:
    """The pixels, and the codestreams of each encoding."""
    pixels = frames()
    np.save(folder / "pixels.npy", pixels)
    for name, encode in encoders().items():
        streams = [encode(frame) for frame in pixels]
        (folder / name).mkdir()
        for number, stream in enumerate(streams):
            (folder / name / f"{number:03d}").write_bytes(stream)
        say(f"{name}: {pixels.nbytes / sum(map(len, streams)):.2f} times smaller")


def streams_of(folder: Path, name: str) -> list[bytes]:
    """Codestreams in order of their frames."""
    return [path.read_bytes() for path in sorted((folder / name).iterdir())]


def decode(name: str, plugin: str, stream: bytes) -> np.ndarray:
    """One frame, in the way that the readers decode it."""
    if plugin == "imagecodecs":
        import imagecodecs

        by_name = {"JPEG lossless": "jpeg8_decode", "JPEG-LS": "jpegls_decode", "JPEG 2000": "jpeg2k_decode"}
        # CharLS does not come back from a stream that is cut off without this marker
        whole = stream + (b"\xff\xd9" if name == "JPEG-LS" else b"")
        frame: np.ndarray = getattr(imagecodecs, by_name[name])(whole)
        return frame
    decoder = get_decoder(SYNTAXES[name])
    options = described() | {"pixel_keyword": "PixelData"}
    pixels, _ = decoder.as_array(encapsulate([stream]), index=0, raw=True, decoding_plugin=plugin, **options)
    return pixels


def offered(plugin: str) -> list[str]:
    """Encodings that the plugin decodes in this environment."""
    if plugin == "imagecodecs":
        return [name for name in SYNTAXES if name != "RLE"]
    return [name for name, uid in SYNTAXES.items() if plugin in get_decoder(uid).available_plugins]


def measured(folder: Path, plugin: str) -> dict[str, dict[str, object]]:
    """Times of each encoding that is offered, the best of some rounds."""
    pixels = np.load(folder / "pixels.npy")
    told: dict[str, dict[str, object]] = {}
    for name in offered(plugin):
        streams = streams_of(folder, name)
        right = all(
            np.array_equal(decode(name, plugin, stream), frame)
            for stream, frame in zip(streams, pixels, strict=True)
        )
        with ThreadPoolExecutor(THREADS) as pool:
            alone = min(seconds(map, name, plugin, streams) for _ in range(ROUNDS))
            together = min(seconds(pool.map, name, plugin, streams) for _ in range(ROUNDS))
        told[name] = {
            "alone": 1000 * alone / len(streams),
            "threads": 1000 * together / len(streams),
            "right": right,
        }
    return told


def seconds(
    mapped: Callable[..., Iterator[np.ndarray]], name: str, plugin: str, streams: Sequence[bytes]
) -> float:
    """Of decoding all streams."""
    started = time.perf_counter()
    for _ in mapped(lambda stream: decode(name, plugin, stream), streams):
        pass
    return time.perf_counter() - started


def endure(folder: Path, plugin: str, name: str) -> dict[str, int]:
    """Decode damaged streams: how many were refused, and how many were taken without a word.

    A crash ends this process; whoever started it sees that.
    """
    from spinenet.errors import ScanError
    from spinenet.readers.dicom.codestreams import jpeg, jpeg_2000

    claim = {"JPEG 2000": jpeg_2000, "RLE": None}.get(name, jpeg)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    dice = random.Random(1)
    streams = streams_of(folder, name)
    counts = {"refused": 0, "taken": 0, "worse": 0}
    for _ in range(DAMAGED):
        data = bytearray(dice.choice(streams))
        for _ in range(dice.choice((1, 1, 3, 10))):
            # headers are short, and lie at the beginning
            data[dice.randrange(dice.choice((120, len(data))))] = dice.randrange(256)
        if dice.random() < 0.25:
            del data[dice.randrange(len(data)) :]
        try:
            stream = claim(bytes(data)) if claim else None
        except ScanError:
            continue
        if stream and (stream.rows, stream.columns) != (SIZE, SIZE):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                decode(name, plugin, bytes(data))
        except Exception:
            counts["refused"] += 1
        except BaseException:
            # a panic of Rust, which no handler of errors expects
            counts["worse"] += 1
        else:
            counts["taken"] += 1
    return counts


def environment(folder: Path, packages: Sequence[str]) -> tuple[Path, int]:
    """(the interpreter of a fresh environment, bytes of the wheels beside pydicom's and numpy's own)."""
    wheels = folder / "wheels"
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *BASE, *packages], check=True, stderr=subprocess.DEVNULL)
    if packages:
        subprocess.run(
            [*pip, "download", "--no-deps", "--dest", wheels, *packages],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    return python, sum(path.stat().st_size for path in wheels.glob("*")) if packages else 0


def inside(python: Path, *arguments: str | Path, limit: float = 900) -> subprocess.CompletedProcess[str]:
    """Run this file by the interpreter of an environment."""
    return subprocess.run(
        [python, __file__, *map(str, arguments)], capture_output=True, text=True, timeout=limit, check=False
    )


def damage_told(python: Path, folder: Path, plugin: str, name: str) -> str:
    """What damaged streams came to, in words."""
    try:
        ended = inside(python, "--endure", folder, plugin, name, limit=SECONDS)
    except subprocess.TimeoutExpired:
        return "hangs"
    if ended.returncode < 0:
        return f"dies of signal {-ended.returncode}"
    if ended.returncode:
        return f"ends with {ended.returncode}"
    counts = json.loads(ended.stdout)
    return f"{counts['refused']} refused, {counts['taken']} taken, {counts['worse']} worse"


def measure(only: Sequence[str]) -> None:
    """Every package in turn."""
    with tempfile.TemporaryDirectory(prefix="spinenet-decoders-") as scratch:
        folder = Path(scratch) / "frames"
        folder.mkdir()
        write_frames(folder)
        say(f"{'package':<20}{'encoding':<15}{'ms':>7}{'2 threads':>11}  {'right':<6}{'wheels':>7}  damaged")
        for package in only or PACKAGES:
            plugin, wanted = PACKAGES[package]
            place = Path(scratch) / package
            place.mkdir()
            try:
                python, size = environment(place, wanted)
            except subprocess.CalledProcessError:
                say(f"{package:<20}cannot be installed here")
                continue
            ended = inside(python, "--measure", folder, plugin)
            if ended.returncode:
                say(f"{package:<20}fails: {ended.stderr.strip().splitlines()[-1:]}")
                continue
            for name, told in json.loads(ended.stdout).items():
                damage = damage_told(python, folder, plugin, name)
                right = "yes" if told["right"] else "NO"
                say(
                    f"{package:<20}{name:<15}{told['alone']:>7.2f}{told['threads']:>11.2f}  {right:<6}"
                    f"{size / 1e6:>4.1f} MB  {damage}"
                )


def main() -> None:
    """Measure everything, or be one environment's part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("packages", nargs="*", help=f"of {', '.join(PACKAGES)}; all if none is named")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "PLUGIN"), help=argparse.SUPPRESS)
    parser.add_argument("--endure", nargs=3, metavar=("FOLDER", "PLUGIN", "NAME"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder, plugin = arguments.measure
        say(json.dumps(measured(Path(folder), plugin)))
    elif arguments.endure:
        folder, plugin, name = arguments.endure
        say(json.dumps(endure(Path(folder), plugin, name)))
    else:
        measure(arguments.packages)


if __name__ == "__main__":
    main()
