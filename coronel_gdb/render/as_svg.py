"""Charts of a report as SVG: maps of addresses, bars, curves. Colours that the colour-blind tell apart."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from coronel_gdb.report import Bars, Chart, Curve, Map

_WIDTH = 1000
_ROW, _STEP = 15, 18
_LEFT = 170
_FONT, _CHARACTER = 12.5, 7.6  # printed on A4 that is seven points
_ALIKE = 4  # rows of one kind: from so many on, those between the first and the last are one line
# Okabe and Ito's palette and shades of it; what has no colour of its own is grey.
_COLOURS = {
    "used": "#0072b2",
    "free": "#cfe3f1",
    "used and free": "#6aa9d4",
    "damaged": "#d4001a",
    "state unknown": "#d55e00",
    "not readable": "#8c8c8c",
    "two owners": "#d4001a",
    "lost": "#d55e00",
    "page table": "#cc79a7",
    "mapped by a process": "#009e73",
    "mapped by the kernel": "#0072b2",
    "kernel image and stack": "#33475b",
    "placement area": "#7a8ca0",
    "boot information and modules": "#e69f00",
    "first MiB": "#b9b39a",
    "device": "#f0e442",
    "r-x": "#0072b2",
    "r--": "#7fb8d9",
    "rw-": "#e69f00",
    "rwx": "#d4001a",
    "r-x u": "#00684c",
    "r-- u": "#7fcdb5",
    "rw- u": "#d9a441",
    "rwx u": "#8f0012",
}
_MARK = "#d4001a"
_DIM = "#5b6570"
_MOST_MARKS = 40


def draw(chart: Chart) -> str:
    """The chart as an `svg` element."""
    if isinstance(chart, Map):
        return _map(chart)
    return _bars(chart) if isinstance(chart, Bars) else _curve(chart)


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{_text(title)}" '
        f'font-family="DejaVu Sans Mono, monospace" font-size="{_FONT}">{"".join(parts)}</svg>'
    )


def _text(text: object) -> str:
    return escape("".join(c if c.isprintable() else "." for c in str(text)))


def _label(x: float, y: float, text: object, *, anchor: str = "start", fill: str = "#1b1f24") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{_text(text)}</text>'


def _box(x: float, y: float, width: float, height: float, fill: str, title: str = "") -> str:
    shape = f'<rect x="{x:.2f}" y="{y:.1f}" width="{max(width, 0.4):.2f}" height="{height:.1f}" fill="{fill}"'
    return f"{shape}><title>{_text(title)}</title></rect>" if title else f"{shape}/>"


def _map(chart: Map) -> str:
    kinds = list(dict.fromkeys(kind for _, _, _, spans in chart.rows for _, _, kind in spans))
    kinds.sort(key=lambda kind: list(_COLOURS).index(kind) if kind in _COLOURS else len(_COLOURS))
    parts, top = _legend(kinds, marked=bool(chart.marks))
    step = _STEP if chart.to_scale else 40
    y = top
    for index, left_out in _shown(chart):
        if left_out:
            what = f"{left_out:,} rows more, all {chart.rows[index][3][0][2]}"
            parts.append(_label(_LEFT + 4, y + 11.5, what, fill=_DIM))
            y += step
            continue
        name, start, end, spans = chart.rows[index]
        short = name if len(name) <= 20 else f"{name[:19]}…"
        parts.append(_label(_LEFT - 10, y + 11.5, short, anchor="end"))
        if chart.to_scale:
            parts += _row(y, start, end, spans)
            parts += _marks(chart, y, start, end)
        else:
            parts += _shortened(y, spans)
        y += step
    return _svg(y + 4, parts, chart.title)


def _shown(chart: Map) -> Iterator[tuple[int, int]]:
    """(row, 0) of each row that is drawn; (row, how many) where so many from it on look like those around."""
    marked = [address for address, _ in chart.marks]
    at = 0
    while at < len(chart.rows):
        end = at
        while end < len(chart.rows) and _plain(chart, end, marked) == _plain(chart, at, marked) != "":
            end += 1
        if end - at >= _ALIKE:
            yield at, 0
            yield at + 1, end - at - 2
            yield end - 1, 0
            at = end
        else:
            yield at, 0
            at += 1


def _plain(chart: Map, index: int, marked: Sequence[int]) -> str:
    """The kind of a row that has but one and no mark, as long as the first; else nothing."""
    _, start, end, spans = chart.rows[index]
    whole = len(spans) == 1 and spans[0][:2] == (start, end)
    if not chart.to_scale or not whole or any(start <= address < end for address in marked):
        return ""
    return spans[0][2]


def _legend(kinds: Sequence[str], *, marked: bool) -> tuple[list[str], float]:
    parts, x, y = [], float(_LEFT), 6.0
    rows = [(kind, _COLOURS.get(kind, "#999")) for kind in kinds] + ([("finding", _MARK)] if marked else [])
    for kind, colour in rows:
        width = 30 + _CHARACTER * len(kind)
        if x + width > _WIDTH:
            x, y = float(_LEFT), y + 18
        if kind == "finding":
            parts.append(f'<path d="M{x + 1} {y} h9 l-4.5 8 z" fill="{colour}"/>')
        else:
            parts.append(_box(x, y, 11, 11, colour))
        parts.append(_label(x + 16, y + 9.5, kind))
        x += width
    return parts, y + 26


def _row(y: float, start: int, end: int, spans: Sequence[tuple[int, int, str]]) -> Iterator[str]:
    scale = (_WIDTH - _LEFT) / max(1, end - start)
    for low, high, kind in spans:
        what = f"{low:#x}..{high:#x} {kind}"
        yield _box(
            _LEFT + (low - start) * scale, y, (high - low) * scale, _ROW, _COLOURS.get(kind, "#999"), what
        )


def _marks(chart: Map, y: float, start: int, end: int) -> Iterator[str]:
    scale = (_WIDTH - _LEFT) / max(1, end - start)
    for address, label in chart.marks[:_MOST_MARKS]:
        if start <= address < end:
            x = _LEFT + (address - start) * scale
            yield (
                f'<path d="M{x - 5:.1f} {y - 5:.1f} h10 l-5 9 z" fill="{_MARK}" stroke="#fff">'
                f"<title>{_text(label)} at {address:#x}</title></path>"
            )


def _shortened(y: float, spans: Sequence[tuple[int, int, str]]) -> Iterator[str]:
    """Widths grow with the logarithm of the size; a gap is a break of one width."""
    gap, room = 7.0, _WIDTH - _LEFT
    widths = [max(1.0, (high - low).bit_length() - 11) for low, high, _ in spans]
    gaps = sum(before[1] != after[0] for before, after in pairwise(spans))
    scale = min(14.0, (room - gap * gaps) / max(1.0, sum(widths)))
    x, last, written = float(_LEFT), None, -200.0
    for (low, high, kind), width in zip(spans, widths, strict=True):
        if last is not None and low != last:
            yield f'<path d="M{x + 2:.1f} {y + 12} l3 -9" stroke="{_DIM}" fill="none"/>'
            x += gap
        what = f"{low:#x}..{high:#x} {kind}"
        yield _box(x, y, width * scale - 0.6, _ROW, _COLOURS.get(kind, "#999"), what)
        if (last is None or low != last) and x - written > 8 * len(f"{low:#x}") and x < _WIDTH - 140:
            yield _label(x, y + 28, f"{low:#x}", fill=_DIM)
            written = x
        x, last = x + width * scale, high


def _bars(chart: Bars) -> str:
    longest = max((len(name) for name, _, _ in chart.rows), default=0)
    left, right = max(_LEFT, 20 + _CHARACTER * min(longest, 52)), 230
    most = max((value for _, value, _ in chart.rows), default=0) or 1
    parts = []
    for number, (name, value, remark) in enumerate(chart.rows):
        y = 4 + number * 22
        short = name if len(name) <= 52 else f"…{name[-51:]}"
        parts.append(_label(left - 10, y + 12, short, anchor="end"))
        width = (_WIDTH - left - right) * value / most
        parts.append(_box(left, y, width, 16, "#0072b2", f"{name}: {value:,} {chart.unit}"))
        parts.append(_label(left + width + 6, y + 12, f"{value:,} {chart.unit}, {remark}"))
    if not chart.rows:
        parts.append(_label(left, 16, "none"))
    return _svg(8 + max(1, len(chart.rows)) * 22, parts, chart.title)


def _curve(chart: Curve) -> str:
    left, top, bottom, height = 110, 26, 34, 236
    if not chart.points:
        return _svg(24, [_label(left, 16, "no operation was recorded")], chart.title)
    xs, ys = [x for x, _ in chart.points], [y for _, y in chart.points]
    low, high = min(0, *ys), max(*ys, min(0, *ys) + 1)
    first, span = xs[0], max(1, xs[-1] - xs[0])

    def place(x: int, y: int) -> tuple[float, float]:
        across = left + (_WIDTH - left - 20) * (x - first) / span
        return across, top + (height - top - bottom) * (1 - (y - low) / (high - low))

    parts = []
    for number in range(5):
        value = low + (high - low) * number // 4
        _, y = place(first, value)
        parts.append(f'<path d="M{left} {y:.1f} H{_WIDTH - 20}" stroke="#d5dae0"/>')
        parts.append(_label(left - 8, y + 4, f"{value:,}", anchor="end"))
        at = first + span * number // 4
        parts.append(_label(place(at, low)[0], height - bottom + 16, f"{at:,}", anchor="middle"))
    corners = [place(x, y) for x, y in chart.points]
    # Steps: between two operations nothing changes.
    line = f"M{corners[0][0]:.1f} {corners[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in corners[1:])
    floor = place(first, max(low, 0))[1]
    parts.append(f'<path d="{line}V{floor:.1f}H{corners[0][0]:.1f}Z" fill="#0072b2" fill-opacity="0.12"/>')
    parts.append(f'<path d="{line}" fill="none" stroke="#0072b2" stroke-width="1.6"/>')
    parts.append(_label((_WIDTH + left) / 2, height - 3, chart.x_label, anchor="middle", fill=_DIM))
    parts.append(_label(left - 8, top - 14, chart.y_label, anchor="end", fill=_DIM))
    return _svg(height, parts, chart.title)
