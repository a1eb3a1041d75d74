"""Plugins as pip leaves them: the examples by pip itself, broken ones written as it would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from lab.gdbmi import gdb_environment
from lab.paths import ROOT


def install_examples(folder: Path) -> Path:
    """`pip install --target`, from a copy: a build leaves files beside its sources."""
    sources = folder / "sources"
    shutil.copytree(ROOT / "examples", sources, ignore=shutil.ignore_patterns("__pycache__"))
    target = folder / "packages"
    options = ["-q", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(sources)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return target


def write_plugin(folder: Path, name: str, code: str) -> None:
    """A distribution with one module, which is its plugin."""
    module = f"plugin_{name.replace('-', '_')}"
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(dedent(code))
    info = folder / f"{module}-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text(f"[coronel_gdb.plugins]\n{name} = {module}\n")


def with_packages(*folders: Path) -> dict[str, str]:
    """A user's environment in which these folders are searched for packages."""
    return {**gdb_environment(), "PYTHONPATH": os.pathsep.join(map(str, folders))}


def coronel(*words: object, packages: Path) -> subprocess.CompletedProcess[str]:
    """The command line, where those packages are installed too."""
    command = [sys.executable, "-m", "coronel_gdb.cli", *map(str, words)]
    environment = with_packages(packages)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=ROOT
    )
