"""The whole corpus, or a draw of it."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from random import Random

import numpy  # noqa: F401  # loaded, it is used for small structures as well

from coronel_gdb.lift.bulk import plain
from lab.corpus import bugs, clean
from lab.corpus.damage import cases
from lab.corpus.judge import judge
from lab.corpus.places import places
from lab.corpus.snapshot import Stop, taken
from lab.corpus.tally import Tally
from lab.paths import ROOT

DETECTION = ROOT / "docs" / "detection.md"
_SHOWN = 20
_WORKERS = 2 * (os.cpu_count() or 1)  # a job waits for its QEMU half of the time
_DAMAGES_A_JOB, _STOPS_A_JOB = 120, 100

STOPS = (
    Stop("scenario=mixed seed=3 ops=2000", "64M"),
    Stop("scenario=mixed seed=8 ops=20000", "128M"),
    Stop("scenario=rapid seed=2 ops=300", "32M"),
    Stop("scenario=processes", "64M", ("leave", "pause x", "churn")),
    Stop("scenario=mixed,processes seed=7 ops=500", "48M", ("hoard pause a", "pause y", "hoard pause bb"), 2),
    Stop("scenario=fragmentation", "64M"),
    Stop("scenario=mixed seed=5 ops=300", "1G"),
)
"""Kernels of several sizes and states that are damaged."""


def damage_one(stop: Stop, count: int, seed: int) -> Tally:
    """`count` damages of one stop."""
    tally, random = Tally(), Random(f"{seed} {stop.append}")
    with taken(stop) as snapshot, _numpy_or_not(seed):
        for case in cases(snapshot, list(places(snapshot, random)), random, count):
            tally.add(case, judge(snapshot.damaged(case.patches), case))
    return tally


def look_at(name: str, count: int, seed: int) -> tuple[int, Counter[str]]:
    """`count` random stops of one long healthy scenario, and what was said at all of them together."""
    said: Counter[str] = Counter()
    stops = 0
    with _numpy_or_not(seed):
        for outcome in clean.stops(name, Random(f"{seed} {name}"), count, at_rest=seed // 2 % 2 == 1):
            said.update(outcome)
            stops += 1
            for text in outcome:
                if text.startswith(clean.ALARM):
                    _progress(text)
    return stops, said


def _numpy_or_not(seed: int) -> AbstractContextManager[None]:
    """Every other job goes the ways that need no numpy."""
    return plain() if seed % 2 else nullcontext()


def injected(pool: Executor, count: int, seed: int) -> Tally:
    """`count` damages, spread over the stops; what is done so far is told while it goes on."""
    share, tally = -(-count // len(STOPS)), Tally()
    jobs = [
        pool.submit(damage_one, stop, min(_DAMAGES_A_JOB, share - done), seed + number)
        for number, done in enumerate(range(0, share, _DAMAGES_A_JOB))
        for stop in STOPS
    ]
    for job in as_completed(jobs):
        tally.join(job.result())
        _progress(f"{tally.total:,} damages, {tally.detected:,} detected, {tally.located:,} in their place")
    return tally


def healthy(pool: Executor, count: int, seed: int) -> tuple[int, Counter[str]]:
    """`count` random stops, spread over the long healthy scenarios, told likewise."""
    share, stops, said = -(-count // len(clean.LONG)), 0, Counter[str]()
    jobs = [
        pool.submit(look_at, name, min(_STOPS_A_JOB, share - done), seed + number)
        for number, done in enumerate(range(0, share, _STOPS_A_JOB))
        for name in clean.LONG
    ]
    for job in as_completed(jobs):
        number, outcome = job.result()
        stops += number
        said.update(outcome)
        alarms = sum(count for text, count in said.items() if text.startswith(clean.ALARM))
        _progress(f"{stops:,} healthy stops, {alarms} false alarms")
    return stops, said


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] = ()) -> int:
    """Print the figures; 1 when the tool was wrong about a healthy kernel, missed, crashed or hung."""
    parser = argparse.ArgumentParser(prog="corpus")
    parser.add_argument("--cases", type=int, default=3000, help="damages to inject")
    parser.add_argument("--clean", type=int, default=10000, help="random stops of healthy kernels")
    parser.add_argument("--bugs", type=int, default=bugs.ROUNDS, help="runs of every buggy scenario")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/detection.md")
    options = parser.parse_args(list(arguments))
    good = True
    with ProcessPoolExecutor(_WORKERS, mp_context=get_context("spawn")) as pool:
        if options.cases:
            tally = injected(pool, options.cases, options.seed)
            head = f"`make corpus CASES={options.cases} CLEAN=0 BUGS=0 CORPUS_SEED={options.seed}`:"
            summary = [f"- {line}" for line in tally.summary()]
            _tell("damages", [head, "", *summary, "", *tally.lines()], keep=options.write)
            print("\n".join(tally.wrong_ones()))
            good = tally.sound
        if options.bugs:
            found = list(bugs.run_bugs(options.seed, options.bugs))
            head = f"`make corpus CASES=0 CLEAN=0 BUGS={options.bugs} CORPUS_SEED={options.seed}`:"
            _tell("bugs", [head, "", *bugs.table(found)], keep=options.write)
            for bug in found:
                if bug.is_wrong:
                    print(f"{bug.scenario} not as noted: {bug.command_line}: {bug.codes} {bug.said.failed}")
            good = good and not any(bug.is_wrong for bug in found)
        if options.clean:
            stops, said = healthy(pool, options.clean, options.seed)
            alarms = [text for text in said if text.startswith(clean.ALARM)]
            busy = sum(count for text, count in said.items() if text.startswith("could not check"))
            head = f"`make corpus CASES=0 BUGS=0 CLEAN={options.clean} CORPUS_SEED={options.seed}`:"
            figures = (
                f"- {stops:,} random stops of healthy kernels ({', '.join(clean.LONG)}): "
                f"{sum(said[alarm] for alarm in alarms):,} false alarms; "
                f"{said[clean.WHOLE]:,} {clean.WHOLE}, in the reports of the others "
                f"{busy:,} rows of what was being changed or could not be checked"
            )
            _tell("healthy", [head, "", figures], keep=options.write)
            print("\n".join([*alarms, *(f"{n:,} {text}" for text, n in said.most_common(_SHOWN))]))
            good = good and not alarms
    return int(not good)


def _tell(section: str, figures: list[str], *, keep: bool) -> None:
    """Print figures, and keep them between their markers in the document."""
    print("\n".join(figures), flush=True)
    if keep:
        begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
        before, rest = DETECTION.read_text().split(begin)
        after = rest.split(end)[1]
        DETECTION.write_text(f"{before}{begin}\n" + "\n".join(figures) + f"\n{end}{after}")
