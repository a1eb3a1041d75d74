"""The whole corpus, or a draw of it."""

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from random import Random

from lab.corpus import clean
from lab.corpus.damage import cases
from lab.corpus.judge import judge
from lab.corpus.places import places
from lab.corpus.snapshot import taken
from lab.corpus.tally import Tally
from lab.paths import ROOT
from lab.scenarios import scenarios

DETECTION = ROOT / "docs" / "detection.md"
_SHOWN = 20

STOPS = (
    ("mixed", "scenario=mixed seed=3 ops=2000", "64M"),
    ("mixed", "scenario=mixed seed=8 ops=20000", "128M"),
    ("rapid", "scenario=rapid seed=2 ops=300", "32M"),
    ("processes", "scenario=processes", "64M"),
    ("fragmentation", "scenario=fragmentation", "64M"),
    ("mixed", "scenario=mixed seed=5 ops=300", "1G"),
)
"""Kernels of several sizes and states that are damaged: scenario, command line, memory."""


def damage_one(stop: tuple[str, str, str], count: int, seed: int) -> Tally:
    """`count` damages of one stop."""
    name, append, memory = stop
    tally, random = Tally(), Random(f"{seed} {append}")
    with taken(scenarios()[name], append, memory) as snapshot:
        for case in cases(snapshot, list(places(snapshot, random)), random, count):
            tally.add(case, judge(snapshot.damaged(case.patches), case))
    return tally


def look_at(name: str, count: int, seed: int) -> tuple[int, Counter[str]]:
    """`count` random stops of one long healthy scenario, and what was said at all of them together."""
    said: Counter[str] = Counter()
    stops = 0
    for outcome in clean.stops(name, Random(f"{seed} {name}"), count):
        said.update(outcome)
        stops += 1
    return stops, said


def injected(pool: Executor, count: int, seed: int) -> Tally:
    """`count` damages, spread over the stops."""
    shares = [pool.submit(damage_one, stop, count // len(STOPS), seed) for stop in STOPS]
    tally = Tally()
    for share in shares:
        tally.join(share.result())
    return tally


def healthy(pool: Executor, count: int, seed: int) -> tuple[int, Counter[str]]:
    """`count` random stops, spread over the long healthy scenarios."""
    shares = [pool.submit(look_at, name, count // len(clean.LONG), seed) for name in clean.LONG]
    said: Counter[str] = Counter()
    stops = 0
    for share in shares:
        number, outcome = share.result()
        stops += number
        said.update(outcome)
    return stops, said


def main(arguments: Sequence[str] = ()) -> int:
    """Print the figures; 1 when the tool was wrong about a healthy kernel, missed, crashed or hung."""
    parser = argparse.ArgumentParser(prog="corpus")
    parser.add_argument("--cases", type=int, default=3000, help="damages to inject")
    parser.add_argument("--clean", type=int, default=10000, help="random stops of healthy kernels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/detection.md")
    options = parser.parse_args(list(arguments))
    good = True
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        if options.cases:
            tally = injected(pool, options.cases, options.seed)
            head = f"`make corpus CASES={options.cases} CLEAN=0 CORPUS_SEED={options.seed}`:"
            summary = [f"- {line}" for line in tally.summary()]
            _tell("damages", [head, "", *summary, "", *tally.lines()], keep=options.write)
            print("\n".join(tally.examples()))
            good = tally.sound
        if options.clean:
            stops, said = healthy(pool, options.clean, options.seed)
            alarms = [text for text in said if text.startswith("FALSE ALARM")]
            busy = sum(count for text, count in said.items() if text.startswith("could not check"))
            head = f"`make corpus CASES=0 CLEAN={options.clean} CORPUS_SEED={options.seed}`:"
            figures = (
                f"- {stops:,} random stops of healthy kernels ({', '.join(clean.LONG)}): "
                f"{sum(said[alarm] for alarm in alarms):,} false alarms; {said['clean']:,} reports without a "
                f"finding over all there is, {busy:,} rows of what could not be checked in the others"
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
