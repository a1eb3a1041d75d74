"""`python -m lab hardware`: run the plan on an engine, print the counts, keep them."""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.hardware import bochs
from lab.hardware.combinations import SETS, compare
from lab.hardware.engines import Engine
from lab.hardware.plan import MUST, PLANS, SEED, Part
from lab.hardware.run import Count
from lab.paths import ROOT

PVM = Path("/sys/module/kvm_pvm")
# From this share on, a plan meets every known deviation.
ENOUGH = 0.1
RESULTS = ROOT / "build" / "hardware"


def main(arguments: Sequence[str]) -> int:
    """Run; exit code 1 when a case went otherwise than predicted or a deviation was never met."""
    parser = argparse.ArgumentParser(prog="lab hardware", description=__doc__)
    parser.add_argument("--engine", choices=(*PLANS, "formula"), default="tcg")
    parser.add_argument("--amount", type=float, default=1.0, help="share of the whole plan (default 1)")
    parser.add_argument("--seed", type=lambda text: int(text, 0), default=SEED)
    parser.add_argument("--part", action="append", default=[], help="only parts whose name has this in it")
    options = parser.parse_args(arguments)
    if options.engine == "formula":
        return formula(options.amount, options.seed, options.part)
    absent = missing_engine(options.engine)
    if absent:
        print(f"{options.engine}: not run: {absent}")
        return 0
    parts = [
        part for part in PLANS[options.engine]
        if not options.part or any(word in part.name for word in options.part)
    ]  # fmt: skip
    print(f"{version(options.engine)}; seed {options.seed:#x}, amount {options.amount:g}")
    total = Count()
    for part in parts:
        run_part(part, options.amount, options.seed, total, RESULTS / f"{options.engine}.jsonl")
    print(f"{total.cases:,} cases, {total.wrong:,} not explained")
    whole = not options.part and options.amount >= ENOUGH
    missing = sorted(MUST[options.engine] - set(total.tally.deviations)) if whole else []
    for name in missing:
        print(f"{name} was never met: the case for it is gone, or the engine was mended")
    return 1 if total.wrong or missing else 0


def run_part(part: Part, amount: float, seed: int, total: Count, log: Path) -> None:
    """Run one part and say what came of it, in total and for each CPU in the log."""
    begun = time.monotonic()
    sum_of_part = Count()
    for engine, count in part.run(part.whole * amount, seed):
        sum_of_part.add(count)
        keep(log, part, engine, count, part.whole * amount, seed)
    total.add(sum_of_part)
    show(part.name, sum_of_part, begun)


def formula(amount: float, seed: int, words: Sequence[str]) -> int:
    """Hold the model against the formula; exit code 1 when they differ."""
    print(f"formula: seed {seed:#x}, amount {amount:g}")
    total = Count()
    for combinations in SETS:
        if words and not any(word in combinations.name for word in words):
            continue
        begun = time.monotonic()
        count = Count()
        for chunk in compare(combinations, amount, seed):
            count.add(chunk)
        total.add(count)
        show(combinations.name, count, begun)
    print(f"{total.cases:,} cases, {total.wrong:,} not explained")
    return 1 if total.wrong else 0


def show(name: str, count: Count, begun: float) -> None:
    """Print the counts of a part that was begun at `begun`, by the monotonic clock."""
    seconds = time.monotonic() - begun
    print(f"{name}: {count.cases:,} cases, {count.wrong:,} not explained, {seconds:.0f} s")
    tally = count.tally
    for title, counter in (
        ("rules", tally.rules),
        ("deviations", tally.deviations),
        ("left out", tally.omitted),
    ):
        if counter:
            print(f"  {title}: " + ", ".join(f"{name} {times:,}" for name, times in sorted(counter.items())))
    for text in count.shown:
        print(f"  {text}")


def keep(log: Path, part: Part, engine: Engine, count: Count, share: float, seed: int) -> None:
    """Append the figures of one CPU as a line of JSON."""
    log.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "part": part.name, "levels": engine.levels, "physical_bits": engine.physical_bits,
        "huge_pages": engine.huge_pages, "memory_bytes": engine.memory_bytes, "share": share, "seed": seed,
        "cases": count.cases, "wrong": count.wrong, "rules": count.tally.rules,
        "deviations": count.tally.deviations, "omitted": count.tally.omitted,
    }  # fmt: skip
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")


def missing_engine(engine: str) -> str | None:
    """Why an engine cannot be run on this computer, None when it can; TCG always can."""
    if engine == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no access to /dev/kvm"
    if engine == "kvm" and not PVM.exists():
        return "only the KVM called PVM was studied; another one has other deviations"
    return bochs.missing() if engine == "bochs" else None


def version(engine: str) -> str:
    """What executes, by its own word."""
    if engine == "bochs":
        return f"bochs: {bochs.version()}"
    program = ["qemu-system-x86_64", "--version"]
    text = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    return f"{engine}: {text.splitlines()[0]}" + (f", Linux {os.uname().release}" if engine == "kvm" else "")
