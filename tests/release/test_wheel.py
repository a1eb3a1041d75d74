"""The wheel, built from the source distribution and installed in an environment that knows no checkout.

`make release` runs the whole test suite on such an installation; here is what only an installation can show.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from lab.gdbmi import Gdb, gdb_environment
from lab.lldb import Lldb
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF, PACKAGES, ROOT
from lab.stopped import BOOT_SECONDS, MIXED_THEN_OVERFLOW, Stopped

pytestmark = pytest.mark.skipif(PACKAGES != ROOT, reason="what is tested is installed already")
REQUIRED = ("cramjam", "lzallright", "numpy", "pyelftools", "tabulate")
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation"]
UNPACKED = ("coronel_gdb", "model")


def run(*words: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A command of a user who knows nothing of the checkout."""
    environment = {**gdb_environment(), **more}
    command = list(map(str, words))
    return subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, cwd=cwd, env=environment
    )


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both distributions."""
    folder = tmp_path_factory.mktemp("release")
    source = folder / "source"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, source, ignore=ignored, symlinks=True)
    done = run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; what it requires is linked from the project's own environment."""
    folder = tmp_path_factory.mktemp("a user's") / "venv"
    venv.create(folder, symlinks=True)
    packages = site_packages(folder)
    for name in REQUIRED:
        files = metadata.distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (packages / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))).resolve())
    (wheel,) = dist.glob("*.whl")
    done = run(*PIP, "--python", folder / "bin" / "python", "install", *OFFLINE, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def site_packages(folder: Path) -> Path:
    (packages,) = (folder / "lib").glob("python3.*/site-packages")
    return packages


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for top in UNPACKED
        for path in (folder / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == files(ROOT)
    assert {"coronel_gdb/profiles/coronel.toml", "coronel_gdb/gdbinit.py"} <= names


def test_the_source_distribution_is_the_checkout(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files(ROOT) <= names
    for room in ("docs", "examples", "qemu", "scripts", "tests"):
        mine = {str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*") if path.is_file()}
        mine = {name for name in mine if "__pycache__" not in name and ".egg-info" not in name}
        assert mine - names == set(), room
    assert {"Makefile", "README.md", "LICENSE", "CHANGELOG.md", "gdbinit.py", "pyproject.toml"} <= names
    assert not [name for name in names if name.endswith(".pyc")]


def test_nothing_is_taken_from_the_checkout(installed: Path) -> None:
    code = "import coronel_gdb, model, sys; print(coronel_gdb.__file__, model.__file__, *sys.path)"
    done = run(installed / "bin" / "python", "-c", code, cwd=installed)
    assert str(site_packages(installed) / "coronel_gdb") in done.stdout
    assert str(ROOT) not in done.stdout
    done = run(installed / "bin" / "coronel", "--version", cwd=installed)
    assert (done.returncode, done.stdout) == (0, f"coronel-gdb {metadata.version('coronel-gdb')}\n")


def test_the_command_line_reports_the_same(corrupted: Stopped, dump: Path, installed: Path) -> None:
    options = ("--dump", dump, "--kernel", KERNEL_ELF)
    for command in ("heapcheck", "frames"):
        done = run(installed / "bin" / "coronel", command, *options, cwd=installed)
        assert done.stdout == corrupted.gdb.console(command)
    done = run(installed / "bin" / "coronel", "status", *options, "--json", cwd=installed)
    status = json.loads(done.stdout)
    assert status["not_checked"] == []
    assert status["facts"]["profile"].startswith("coronel, types from DWARF")


def line_of(installed: Path, name: str) -> str:
    """The line for a start-up file."""
    done = run(installed / "bin" / "coronel", name, cwd=installed)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.rstrip("\n")


def test_gdb_loads_the_line_at_its_start(corrupted: Stopped, installed: Path, tmp_path: Path) -> None:
    """`coronel gdbinit >> ~/.gdbinit`, and a GDB that reads it."""
    (tmp_path / ".gdbinit").write_text(line_of(installed, "gdbinit") + "\n")
    done = run("gdb", "-q", "-batch", "-ex", "coronel", cwd=tmp_path, HOME=str(tmp_path))
    assert done.stderr == ""
    assert "\nheapcheck " in done.stdout
    script = Path(line_of(installed, "gdbinit").removeprefix("source "))
    with Machine(BOOT_ELF, MIXED_THEN_OVERFLOW, paused=True) as machine, Gdb(script=script) as gdb:
        gdb.attach(machine.gdb_socket, KERNEL_ELF)
        for _ in range(2):
            gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        assert gdb.console("memcheck") == corrupted.gdb.console("memcheck")
        status = gdb.console("coronel status")
        assert gdb.evaluate("$coronel_exit") == 0, status
        assert "types from DWARF of coronel.elf" in status
        gdb.console("python import sys, coronel_gdb")
        assert str(ROOT) not in gdb.console("python print(coronel_gdb.__file__, sys.path)")
        # Behind GDB's own, so that no package of the environment hides one that another extension needs.
        assert gdb.console("python print(sys.path[-1])").strip() == str(site_packages(installed))


def test_lldb_loads_the_line_at_its_start(dump: Path, installed: Path, tmp_path: Path) -> None:
    line = line_of(installed, "lldbinit")
    (tmp_path / ".lldbinit").write_text(line + "\n")
    done = run("lldb-19", "-b", "-o", "help coronel", cwd=tmp_path, HOME=str(tmp_path))
    assert "heapcheck" in done.stdout, done.stdout + done.stderr
    with Lldb(script=None) as lldb:
        lldb.console(line)
        assert "--everywhere" in lldb.console("help heapcheck")
        lldb.console("script import coronel_gdb; coronel_place = coronel_gdb.__file__")
        assert lldb.session("coronel_place") == str(site_packages(installed) / "coronel_gdb" / "__init__.py")


def test_a_plugin_in_the_same_environment_is_found_by_gdb(installed: Path, tmp_path: Path) -> None:
    sources = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", sources, ignore=shutil.ignore_patterns("__pycache__"))
    python = installed / "bin" / "python"
    done = run(*PIP, "wheel", *OFFLINE, "-w", tmp_path, sources, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    done = run(*PIP, "--python", python, "install", *OFFLINE, wheel, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    try:
        with Gdb(script=Path(line_of(installed, "gdbinit").removeprefix("source "))) as gdb:
            assert "usage: largest [--count N]" in gdb.console("help largest")
    finally:
        done = run(*PIP, "--python", python, "uninstall", "-y", "coronel-examples", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
