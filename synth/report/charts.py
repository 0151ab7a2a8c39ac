"""Geometry of the report's charts: bars, ribbons, arcs and lines. Numbers in, numbers and SVG paths out.

Labels of charts that stretch with the screen are HTML, so that they stay readable on a phone.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BINS = 24
VERBS, OBJECTS = 20, 4  # of the sunburst, as in the paper's figure


@dataclass(frozen=True)
class Bar:
    """Its height as a share of the highest bar, its count, and the values that it covers."""

    height: float
    count: int
    label: str


def edges(values: Sequence[np.ndarray]) -> np.ndarray:
    """Histogram bins for all of `values`: one bin per value for a few whole numbers, else up to the 99th percentile.

    The last edge is the greatest value: the last bin takes the rest.
    """
    everything = np.concatenate(values)
    low, high = float(everything.min()), float(everything.max())
    whole = bool(np.all(everything == np.round(everything)))
    if whole and high - low < BINS:
        return np.arange(low - 0.5, high + 1)
    step = (float(np.quantile(everything, 0.99)) - low) / BINS or (high - low) / BINS
    inner = low + (np.ceil(step) if whole else step) * np.arange(BINS)
    return np.unique([*inner[inner < high], low, np.nextafter(high, np.inf) if low == high else high])


def histogram(values: np.ndarray, bounds: np.ndarray, tallest: float) -> list[Bar]:
    """`tallest` is the share of values that has full height."""
    counts, _ = np.histogram(values, bounds)
    share = counts / max(1, len(values))
    labels = [_range(low, high) for low, high in pairwise(bounds)]
    return [Bar(float(part / tallest) if tallest else 0.0, int(n), label)
            for part, n, label in zip(share, counts, labels, strict=True)]  # fmt: skip


def full_count(bars: Sequence[Bar]) -> int:
    """How many a bar of full height stands for: the top of the axis."""
    highest = max(bars, key=lambda bar: bar.height)
    return round(highest.count / highest.height) if highest.height else 0


def tallest(values: Sequence[np.ndarray], bounds: np.ndarray) -> float:
    """The greatest share of a bin over all `values`."""
    return max(float(np.histogram(value, bounds)[0].max() / max(1, len(value))) for value in values)


def _range(low: float, high: float) -> str:
    if low % 1 == 0.5 and high - low == 1:
        return f"{low + 0.5:g}"
    ends = dict.fromkeys((number(low), number(high)))
    return "–".join(ends)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def line(seconds: np.ndarray, values: np.ndarray, top: float, width: int = 600, height: int = 120) -> str:
    """A path over the whole width, from 0 to `top`."""
    duration = max(float(seconds[-1]), 1e-9)
    points = (f"{x / duration * width:.1f} {height - y / top * height:.1f}"
              for x, y in zip(seconds, values, strict=True))  # fmt: skip
    return "M" + "L".join(points)


@dataclass(frozen=True)
class Exit:
    """A ribbon that leaves the trunk, and the position of its label. `step` heads the first exit of a step."""

    name: str
    count: int
    share: float
    path: str
    y: float


@dataclass(frozen=True)
class Stop:
    """A step beside the trunk: its name, the rows that reach it, and those that end there."""

    name: str
    rows: int
    y: float
    exits: list[Exit]


@dataclass(frozen=True)
class Flow:
    """A Sankey diagram: a trunk going down, rejected rows leaving to the right, and `kept` rows at the end."""

    width: float
    height: float
    stops: list[Stop]
    kept: Exit


FLOW_WIDTH, TRUNK, LEFT, HEAD, SLOT, TURN = 200.0, 96.0, 6.0, 34.0, 30.0, 16.0
MOST_EXITS = 8  # reasons of a step shown by name


def flow(steps: Sequence[str], rejected: Mapping[tuple[str, str], int], kept: int) -> Flow | None:
    """Rows through `steps` in order; other steps come last. None if there are no rows."""
    total = kept + sum(rejected.values())
    if not total:
        return None
    names = [name for name in ("source",) if any(step == name for step, _ in rejected)]
    names += [*steps, *dict.fromkeys(step for step, _ in rejected if step not in steps and step != "source")]
    left, y, right = total, 10.0, LEFT + TRUNK
    outline, stops = [(right, 0.0)], []
    for name in names:
        head, y, before, exits = y, y + HEAD, left, []
        for reason, count in _drawn({reason: n for (step, reason), n in rejected.items() if step == name}):
            thick = TRUNK * count / total
            slot = max(SLOT, thick + 8)
            exits.append(Exit(reason, count, count / total, _ribbon(right, y + slot / 2, thick), y + slot / 2))
            outline.append((right, y + slot / 2 - thick / 2 - TURN))
            right -= thick
            outline.append((right, outline[-1][1]))
            left, y = left - count, y + slot
        stops.append(Stop(name, before, head, exits))
        y += 10
    thick = TRUNK * kept / total
    middle = y + TURN + max(SLOT, thick) / 2
    bottom = middle - thick / 2 - TURN
    trunk = "M" + "L".join(f"{x:.2f} {max(0, at):.2f}" for x, at in [(LEFT, 0.0), *outline, (right, bottom)])
    # The trunk ends in the ribbon of kept rows: one outline, without a seam.
    corner = (
        f"L{right:.2f} {bottom:.2f}Q{right:.2f} {middle - thick / 2:.2f} {right + TURN:.2f} {middle - thick / 2:.2f}"
        f"H{FLOW_WIDTH}V{middle + thick / 2:.2f}H{right + TURN:.2f}"
        f"Q{LEFT} {middle + thick / 2:.2f} {LEFT} {bottom:.2f}Z"
    )
    ending = Exit("kept", kept, kept / total, trunk + corner, middle)
    return Flow(FLOW_WIDTH, middle + max(SLOT, thick) / 2 + 8, stops, ending)


def _drawn(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    ordered = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
    if len(ordered) <= MOST_EXITS:
        return ordered
    rest = ordered[MOST_EXITS - 1 :]
    return [*ordered[: MOST_EXITS - 1], (f"{len(rest)} other reasons", sum(count for _, count in rest))]


def _ribbon(right: float, middle: float, thick: float) -> str:
    """From the trunk's right edge down and out to the right, with constant thickness, centred on `middle`."""
    top, bottom, inner = middle - thick / 2, middle + thick / 2, right - thick
    start, bend = top - TURN, right + TURN
    return (
        f"M{right:.2f} {start:.2f}Q{right:.2f} {top:.2f} {bend:.2f} {top:.2f}H{FLOW_WIDTH}V{bottom:.2f}H{bend:.2f}"
        f"Q{inner:.2f} {bottom:.2f} {inner:.2f} {start:.2f}Z"
    )


@dataclass(frozen=True)
class Arc:
    """A ring segment: `label` is truncated, None if there is no space; `turn` positions it; `hue` is the verb's."""

    path: str
    title: str
    label: str | None
    turn: str
    anchor: str
    hue: int
    outer: bool


RADII = (46.0, 104.0, 196.0)


def sunburst(verbs: Mapping[str, Counter[str]]) -> tuple[list[Arc], int]:
    """Arcs for the most frequent verbs and their most frequent objects, and how many texts these cover."""
    ranked = sorted(verbs.items(), key=lambda one: (-one[1].total(), one[0]))[:VERBS]
    inner = [(verb, objects.most_common(OBJECTS)) for verb, objects in ranked]
    total = sum(count for _, objects in inner for _, count in objects)
    arcs, angle = [], 0.0
    for place, (verb, objects) in enumerate(inner):
        start, hue = angle, round(place * 360 / max(1, len(inner)) + 175) % 360
        for noun, count in objects:
            width = math.tau * count / total
            arcs.append(_arc(noun, f"{verb} {noun}: {count:,}", angle, angle + width, hue, outer=True))
            angle += width
        shown = sum(count for _, count in objects)
        arcs.append(_arc(verb, f"{verb}: {shown:,}", start, angle, hue, outer=False))
    return arcs, total


def _arc(label: str, title: str, start: float, stop: float, hue: int, outer: bool) -> Arc:
    low, high = RADII[1:] if outer else RADII[:2]
    stop = min(stop, start + math.tau - 1e-3)  # SVG can't draw an arc of a full turn
    large = int(stop - start > math.pi)
    path = (
        f"M{_at(low, start)}L{_at(high, start)}A{high} {high} 0 {large} 1 {_at(high, stop)}"
        f"L{_at(low, stop)}A{low} {low} 0 {large} 0 {_at(low, start)}Z"
    )
    middle, room = (start + stop) / 2, (stop - start) * (low + 20)
    degrees = math.degrees(middle) - 90
    flipped = 90 < degrees % 360 < 270
    radius = low + 6
    turn = f"rotate({degrees:.1f}) translate({radius} 0)" + (" rotate(180)" if flipped else "")
    most = 15 if outer else 9
    short = label if len(label) <= most else f"{label[: most - 1]}…"
    return Arc(path, title, short if room >= 10 else None, turn, "end" if flipped else "start", hue, outer)


def _at(radius: float, angle: float) -> str:
    """A point, clockwise from 12 o'clock."""
    return f"{radius * math.sin(angle):.2f} {-radius * math.cos(angle):.2f}"
