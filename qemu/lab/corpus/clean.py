"""Healthy kernels stopped at random points: no command may have a finding."""

from collections import Counter
from collections.abc import Iterator
from random import Random
from time import sleep

from coronel_gdb.backends.qemu_host import QemuTarget
from coronel_gdb.backends.qmp import Qmp
from coronel_gdb.commands.command import Context
from coronel_gdb.commands.survey import Survey
from coronel_gdb.errors import CoronelError
from coronel_gdb.profiles.schema import ResolvedProfile
from lab.corpus.judge import _COMMANDS, runnable
from lab.machine import Machine
from lab.paths import BOOT_ELF, KERNEL_ELF, ROOT
from lab.programs import modules
from lab.scenarios import scenarios

_PATIENCE = 60
ALARM = "FALSE ALARM"
WHOLE = "stops of which everything was checked"
LONG = {
    "mixed": "seed={seed} ops=40000000",
    "rapid": "seed={seed} ops=40000000",
    "mmap_churn": "seed={seed} ops=40000000",
    "many_processes": "ops=40000000",
    "processes": "",
    "smp": "seed={seed} ops=40000000",
}
"""Healthy scenarios that go on for as long as they are looked at."""
_PROGRAMS = ("hoard forever a", "hoard forever bb", "pause x", "hoard forever ccc")
KEPT = ROOT / "build" / "corpus"
"""Where a stop with a false alarm is kept as a dump."""


def stops(
    name: str, random: Random, count: int, memory: str = "64M", *, at_rest: bool = False
) -> Iterator[Counter[str]]:
    """Stop a running scenario `count` times; what each command said at each stop.

    With `at_rest`, where an operation is under way, the guest goes on a little: nearly all its time is such.
    """
    scenario, seed = scenarios()[name], random.randrange(1 << 32)
    append = f"scenario={name} {LONG[name].format(seed=seed)}"
    extra = modules(_PROGRAMS) if name == "processes" else scenario.extra
    with Machine(BOOT_ELF, append, memory=memory, cpus=scenario.cpus, extra=extra) as machine:
        machine.wait_for_serial("coronel: ready")
        qmp = Qmp(machine.qmp_socket)
        target, profiles = QemuTarget(qmp, KERNEL_ELF), dict[object, ResolvedProfile]()
        assert target.running  # asked now: then `reread` forgets the registers, the way to the memory stays
        try:
            for number in range(count):
                sleep(random.uniform(0.0005, 0.01))
                machine.monitor("stop")
                for _ in range(_PATIENCE if at_rest else 0):
                    assert target.reread()
                    if not Survey(Context(target, profiles=profiles)).busy:
                        break
                    machine.monitor("cont")
                    sleep(random.uniform(0, 0.002))
                    machine.monitor("stop")
                assert target.reread()
                said = look(Context(target, profiles=profiles), append)
                if any(text.startswith(ALARM) for text in said):
                    KEPT.mkdir(parents=True, exist_ok=True)
                    machine.monitor(f"dump-guest-memory {KEPT / f'{name}-{seed}-{number}.core'}")
                yield said
                machine.monitor("cont")
        finally:
            qmp.close()


def look(context: Context, where: str) -> Counter[str]:
    """Run every command on a healthy stop: how often each outcome came; a finding is told whole."""
    said: Counter[str] = Counter()
    for name, arguments in runnable():
        try:
            report = _COMMANDS[name].run(context, _COMMANDS[name].parse(arguments.split()))
        except CoronelError as error:
            said[f"could not check: {name}: {error}"] += 1
            continue
        if report.findings:
            first = report.findings[0]
            said[f"{ALARM}: {where}: {name}: {first.code} {first.subject:#x} {first.lines}"] += 1
        for absent in report.not_checked:
            said[f"could not check: {name}: {absent.what}: {absent.why}"] += 1
        if not report.findings and not report.not_checked:
            said["clean"] += 1
            said[WHOLE] += name == "memcheck"
    return said
