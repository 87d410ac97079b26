"""Prepares the corpus: compiles its extension, and makes images of the lab's bases with its libraries.

    python benchmarks/corpus/build.py extension [--include DIR]   beside keeps_gil.c, for the Python of these headers
    python benchmarks/corpus/build.py image 3.13t                 multicore-lab-corpus:3.13t, from multicore-lab-base
    python benchmarks/corpus/build.py cpython [--file FILE]       fetches CPython's scaling benchmark, or copies it

The headers of a version serve both of its builds; without ``--include`` they are those of the running Python. A library
that has no wheel for a build is left out, and the functions that need it are skipped there.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
LIBRARIES = ("numpy", "lxml", "jiter")
SHARED = ("libstdc++.so.6", "libgcc_s.so.1")
SCALING = "https://raw.githubusercontent.com/python/cpython/v3.14.0/Tools/ftscalingbench/ftscalingbench.py"


def build_extension(include: Path, folder: Path = HERE) -> None:
    """Compile the extension into a folder, with the GIL and without it."""
    text = (include / "patchlevel.h").read_text()
    major, minor = (re.search(rf"PY_{name}_VERSION\s+(\d+)", text) for name in ("MAJOR", "MINOR"))
    assert major
    assert minor
    version = int(minor[1])
    for kind, options in (("", []), *([("t", ["-DPy_GIL_DISABLED=1"])] if version >= 13 else [])):
        target = folder / f"keeps_gil.cpython-{major[1]}{version}{kind}-x86_64-linux-gnu.so"
        command = [
            "cc",
            "-O1",
            "-shared",
            "-fPIC",
            *options,
            f"-I{include}",
            str(HERE / "keeps_gil.c"),
            "-o",
            str(target),
        ]
        subprocess.run(command, check=True)
        print(target)


def build_image(build: str) -> None:
    """Make an image with the libraries that have a wheel for this build."""
    version = build.removesuffix("t")
    tag = version.replace(".", "")
    with tempfile.TemporaryDirectory() as folder:
        packages = Path(folder, "packages")
        packages.mkdir()
        for library in LIBRARIES:
            platforms = [f"--platform=manylinux{name}_x86_64" for name in ("_2_28", "_2_27", "2014", "_2_17")]
            target = ["--target", str(packages), "--python-version", version, "--implementation", "cp"]
            command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", *platforms]
            done = subprocess.run([*command, *target, "--abi", f"cp{tag}{build[len(version) :]}", library], check=False)
            print(f"{library}: {'there' if done.returncode == 0 else 'no wheel'}")
        for name in SHARED:  # a small image may lack what NumPy was linked with
            shutil.copy(path_of(name), packages / name)
        base = (
            f"FROM multicore-lab-base:{build}\nCOPY packages /packages\n"
            "ENV PYTHONPATH=/packages LD_LIBRARY_PATH=/packages\n"
        )
        Path(folder, "Dockerfile").write_text(base)
        subprocess.run(["docker", "build", "-q", "-t", f"multicore-lab-corpus:{build}", folder], check=True)


def path_of(name: str) -> Path:
    """Where this process finds a shared library (man 5 proc, ``maps``)."""
    ctypes.CDLL(name)
    lines = Path("/proc/self/maps").read_text().splitlines()
    return next(
        Path(line.split()[-1]) for line in lines if Path(line.split()[-1]).name.startswith(name.split(".so")[0])
    )


def fetch_cpython(file: Path | None) -> None:
    """Put CPython's scaling benchmark beside this file, as it is."""
    if file:
        text = file.read_bytes()
    else:
        with urllib.request.urlopen(SCALING, timeout=60) as answer:
            text = answer.read()
    (HERE / "ftscalingbench.py").write_bytes(text)


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    extension = commands.add_parser("extension")
    extension.add_argument("--include", type=Path, default=Path(sysconfig.get_paths()["include"]))
    commands.add_parser("image").add_argument("build")
    commands.add_parser("cpython").add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.command == "extension":
        build_extension(options.include)
    elif options.command == "image":
        build_image(options.build)
    else:
        fetch_cpython(options.file)


if __name__ == "__main__":
    main()
