"""The whole corpus, or a draw of it."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
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
_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"

STOPS = (
    ("mixed", "scenario=mixed seed=3 ops=2000", "64M"),
    ("mixed", "scenario=mixed seed=8 ops=20000", "128M"),
    ("rapid", "scenario=rapid seed=2 ops=300", "32M"),
    ("processes", "scenario=processes", "64M"),
    ("fragmentation", "scenario=fragmentation", "64M"),
    ("mixed", "scenario=mixed seed=5 ops=300", "1G"),
)
"""Kernels of several sizes and states that are damaged: scenario, command line, memory."""


def injected(count: int, seed: int, stops: Sequence[tuple[str, str, str]] = STOPS) -> Tally:
    """`count` damages, spread over the stops."""
    tally, random = Tally(), Random(seed)
    for name, append, memory in stops:
        with taken(scenarios()[name], append, memory) as snapshot:
            for case in cases(snapshot, list(places(snapshot, random)), random, count // len(stops)):
                tally.add(case, judge(snapshot.damaged(case.patches), case))
    return tally


def healthy(count: int, seed: int) -> Iterator[Counter[str]]:
    """`count` random stops, spread over the long healthy scenarios."""
    random = Random(seed)
    for name in clean.LONG:
        yield from clean.stops(name, random, count // len(clean.LONG))


def main(arguments: Sequence[str] = ()) -> int:
    """Print the figures; 1 when the tool was wrong about a healthy kernel, crashed or hung."""
    parser = argparse.ArgumentParser(prog="corpus")
    parser.add_argument("--cases", type=int, default=3000, help="damages to inject")
    parser.add_argument("--clean", type=int, default=10000, help="random stops of healthy kernels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/detection.md")
    options = parser.parse_args(list(arguments))
    tally = injected(options.cases, options.seed)
    said: Counter[str] = Counter()
    stops = 0
    for outcome in healthy(options.clean, options.seed):
        said += outcome
        stops += 1
    alarms = [text for text in said if text.startswith("FALSE ALARM")]
    busy = sum(count for text, count in said.items() if text.startswith("could not check"))
    figures = [
        f"`make corpus CASES={options.cases} CLEAN={options.clean} SEED={options.seed}`:",
        "",
        *(f"- {line}" for line in tally.summary()),
        f"- {stops:,} random stops of healthy kernels: {len(alarms)} false alarms; "
        f"{said['clean']:,} clean reports, {busy:,} could not check (an operation was under way)",
        "",
        *tally.lines(),
    ]
    print("\n".join([*figures, "", *tally.examples(), *alarms]))
    if options.write:
        text = DETECTION.read_text()
        before, after = text.split(_BEGIN)[0], text.split(_END)[1]
        DETECTION.write_text(f"{before}{_BEGIN}\n" + "\n".join(figures) + f"\n{_END}{after}")
    return int(bool(alarms) or not tally.sound)
