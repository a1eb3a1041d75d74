"""A Linux that nobody here built: Debian's own kernel with a shell, as a guest to walk.

Fetched from the system's apt sources into build/linux and unpacked there, never installed.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.errors import LabError
from lab.machine import Machine
from lab.paths import ROOT

LINUX = ROOT / "build" / "linux"
UP = "coronel-lab: up"
BOOT_SECONDS = 110.0
_KERNEL_PACKAGE = "linux-image-amd64"  # depends on the kernel's own package
_SHELL_PACKAGE = "busybox-static"
_FETCH_SECONDS = 300
_USER_HALF = 0x1000  # KPTI: this bit of CR3 chooses the tables that a program runs with
_USER_PAGE = re.compile(r"^0000[0-9a-f]{12}: [0-9a-f]{16} (.{7}U.)$", re.M)  # of `info tlb`
_FEW_PAGES = 20
_ATTEMPTS = 200
_INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo {UP}
while true; do /bin/busybox sleep 1000; done
"""


@contextmanager
def linux_guest(*, levels: int = 4, memory: str = "256M", append: str = "") -> Iterator[Machine]:
    """Debian's kernel up to its first process, with KPTI, so kernel and programs have two CR3s each."""
    fetch()
    append = f"console=ttyS0 quiet pti=on panic=-1 cryptomgr.notests=1 {append}"
    model = f"max,la57={'on' if levels == 5 else 'off'}"
    extra = ["-initrd", str(LINUX / "initramfs.cpio")]
    with Machine(LINUX / "vmlinuz", append, memory=memory, cpu_model=model, extra=extra) as machine:
        machine.wait_for_serial(UP, BOOT_SECONDS)
        _stop_in_kernel(machine)
        yield machine


def _stop_in_kernel(machine: Machine) -> None:
    """Stop where the CPU is in the kernel, with a program's pages in the tables of its CR3."""
    for _ in range(_ATTEMPTS):
        machine.monitor("stop")
        registers = machine.monitor("info registers")
        level, root = re.search(r"CPL=(\d)", registers), re.search(r"CR3=([0-9a-f]+)", registers)
        assert level is not None
        assert root is not None
        cr3 = int(root[1], 16)
        # An idle kernel thread, or one that starts a program, may have few of a program's pages or none.
        if level[1] == "0" and not cr3 & _USER_HALF:
            pages = _USER_PAGE.findall(machine.monitor("info tlb"))
            if len(pages) > _FEW_PAGES:
                return
        machine.monitor("cont")
        time.sleep(0.05)
    raise LabError("the Linux guest never stood in its kernel with a program's pages")


def fetch() -> None:
    """Make build/linux/vmlinuz and initramfs.cpio, unless they are there; `LabError` says what is missing."""
    if (LINUX / "vmlinuz").is_file() and (LINUX / "initramfs.cpio").is_file():
        return
    LINUX.mkdir(parents=True, exist_ok=True)
    dependencies = _run(["apt-cache", "depends", "--important", _KERNEL_PACKAGE])
    names = [line.split()[-1] for line in dependencies.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise LabError(f"apt knows no {_KERNEL_PACKAGE}: run `apt-get update` on a Debian system")
    kernel = _unpacked(names[0], "./boot/vmlinuz-*", "boot/vmlinuz-*")
    shell = _unpacked(_SHELL_PACKAGE, "./bin/busybox", "bin/busybox")
    archive = initramfs({"bin/busybox": shell.read_bytes(), "init": _INIT.encode()})
    (LINUX / "initramfs.cpio").write_bytes(archive)
    kernel.replace(LINUX / "vmlinuz")
    for scratch in (LINUX / "boot", LINUX / "bin"):
        shutil.rmtree(scratch, ignore_errors=True)


def _unpacked(package: str, member: str, place: str) -> Path:
    """One file of a Debian package, unpacked below build/linux."""
    for old in LINUX.glob(f"{package}_*.deb"):
        old.unlink()
    _run(["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", package])
    (archive,) = LINUX.glob(f"{package}_*.deb")
    data = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(archive)], capture_output=True, check=True, timeout=_FETCH_SECONDS
    ).stdout
    tar = ["tar", "-x", "--wildcards", "-C", str(LINUX), member]
    subprocess.run(tar, input=data, check=True, timeout=_FETCH_SECONDS)
    archive.unlink()
    return next(LINUX.glob(place))


def _run(command: Sequence[str]) -> str:
    """What a command of apt prints; after `apt-get update` when the first try fails."""
    for attempt in range(2):
        try:
            return subprocess.run(
                command, cwd=LINUX, check=True, capture_output=True, text=True, timeout=_FETCH_SECONDS
            ).stdout
        except FileNotFoundError as error:
            raise LabError(f"{command[0]} is not here: a Linux guest needs a Debian system's apt") from error
        except subprocess.CalledProcessError as error:
            if attempt:
                raise LabError(
                    f"{' '.join(command)}: {' '.join(error.stderr.split()) or 'failed'}"
                ) from error
            with suppress(subprocess.SubprocessError):
                subprocess.run(
                    ["apt-get", "update", "-qq"], check=True, capture_output=True, timeout=_FETCH_SECONDS
                )
    raise AssertionError("unreachable: the second failure is raised")


def initramfs(files: dict[str, bytes]) -> bytes:
    """A cpio archive (newc) with these programs, /dev/console and the folders that they need."""
    folders = sorted({"proc", "dev", *(str(Path(name).parent) for name in files)} - {"."})
    parts = [_member(name, 0o40755, number) for number, name in enumerate(folders, 1)]
    parts.append(_member("dev/console", 0o20600, 900, device=(5, 1)))
    parts += [
        _member(name, 0o100755, number, data) for number, (name, data) in enumerate(files.items(), 1000)
    ]
    return b"".join([*parts, _member("TRAILER!!!", 0, 0)])


def _member(
    name: str, mode: int, number: int, data: bytes = b"", *, device: tuple[int, int] = (0, 0)
) -> bytes:
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    head = b"070701" + "".join(f"{field:08X}" for field in fields).encode() + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
