"""The same diagram as a self-contained SVG file: no script, no font, no style sheet.

Steps are drawn from top to bottom, with rejections to the right of each. After a fan-out, boxes are drawn as stacks.
"""

import textwrap
from collections.abc import Iterator, Sequence
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from synth.report.diagram import Stage, short, stages, whole_cost
from synth.steps.strategy import Strategy

# In SVG units, which are pixels at the usual size.
LEFT, WIDTH, RIGHT = 40, 280, 440
REJECTED_WIDTH, GAP, LINE, HEIGHT = 300, 64, 17, 56
CENTRE = LEFT + WIDTH // 2
COLUMNS = 38  # characters in a box

MARK = "drawn by python -m synth.draw"  # identifies our own files

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" \
font-family="Helvetica, Arial, sans-serif" font-size="14" fill="#1d2733" role="img">
<!-- {mark} -->
<title>{title}</title>
<desc>{desc}</desc>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path d="M0 0 8 4 0 8z" fill="#52606d"/></marker></defs>
<rect width="100%" height="100%" fill="#ffffff"/>"""


def svg(strategy: Strategy) -> str:
    """The content of the file. Raises ConfigError like `stages`."""
    chain = stages(strategy)
    name, cost = short(strategy.name), whole_cost(chain)
    top = 36
    parts = [_text(LEFT, top, name, 'font-size="20" font-weight="bold"')]
    for line in textwrap.wrap(cost, 2 * COLUMNS + 16):
        top += 22
        parts.append(_text(LEFT, top, line, 'fill="#52606d"'))
    top += 34
    parts += _box(top, ["source"], "#f0f4f8", several=False)
    several, branches, top = False, "", top + HEIGHT
    for stage in chain:
        parts += _arrow(top, branches)
        several |= bool(branches)
        top += GAP
        asked = stage.cost + (" each" if several and stage.calls else "")
        lines = [stage.name, asked, *(part for line in stage.inside for part in textwrap.wrap(line, COLUMNS))]
        parts += _box(top, lines, "#e0edff", several)
        reasons = _reasons(stage)
        parts += _exit(top, reasons, several)
        bottom = top + max(_box_height(lines), _exit_height(reasons))
        parts += _line(top + _box_height(lines), bottom)
        branches, top = stage.branches, bottom
    parts += _arrow(top, branches)
    several |= bool(branches)
    top += GAP
    parts += _box(top, ["dataset"], "#e3f5e1", several)
    size = {"width": RIGHT + REJECTED_WIDTH + LEFT, "height": top + HEIGHT + 36}
    head = _HEAD.format(
        mark=MARK, title=escape(name), desc=escape(f"{' → '.join(one.name for one in chain)}: {cost}"), **size
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _box_height(lines: Sequence[str]) -> int:
    return max(HEIGHT, 16 + 20 * len(lines))


def _box(top: int, lines: Sequence[str], colour: str, several: bool) -> Iterator[str]:
    for offset in (8, 4, 0) if several else (0,):
        yield (
            f'<rect x="{LEFT + offset}" y="{top + offset}" width="{WIDTH}" height="{_box_height(lines)}" rx="8" '
            f'fill="{colour}" stroke="#52606d"/>'
        )
    first = top + _box_height(lines) // 2 + 5 - (len(lines) - 1) * 10
    for number, line in enumerate(lines):
        weight = 'text-anchor="middle"' + (' font-weight="bold"' if not number else ' font-size="13"')
        yield _text(CENTRE, first + 20 * number, _fit(line), weight)


def _arrow(top: int, branches: str) -> Iterator[str]:
    """From a box to the next one, `GAP` below it: one line, or several that diverge."""
    bottom = top + GAP
    for aside in (-70, 0, 70) if branches else (0,):
        yield (
            f'<path d="M{CENTRE} {top}C{CENTRE} {top + 40} {CENTRE + aside} {top + 20} {CENTRE + aside} {bottom - 1}" '
            'fill="none" stroke="#52606d" marker-end="url(#arrow)"/>'
        )
    if branches:
        yield _text(CENTRE + 84, top + GAP // 2 + 5, branches, 'font-size="13" fill="#52606d"')


def _line(top: int, bottom: int) -> Iterator[str]:
    if bottom > top:
        yield f'<path d="M{CENTRE} {top}V{bottom}" stroke="#52606d"/>'


def _reasons(stage: Stage) -> list[str]:
    text = ", ".join(stage.rejections) or "reasons unknown"
    return textwrap.wrap(text, COLUMNS, break_on_hyphens=False)


def _exit_height(reasons: Sequence[str]) -> int:
    return max(HEIGHT, 34 + LINE * len(reasons))


def _exit(top: int, reasons: Sequence[str], several: bool) -> Iterator[str]:
    """The arrow to a step's rejections on the right."""
    start, middle = LEFT + WIDTH + (8 if several else 0), top + HEIGHT // 2
    yield (
        f'<path d="M{start} {middle}H{RIGHT - 1}" stroke="#b3261e" stroke-dasharray="5 4" marker-end="url(#arrow)"/>'
    )
    yield (
        f'<rect x="{RIGHT}" y="{top}" width="{REJECTED_WIDTH}" height="{_exit_height(reasons)}" rx="8" '
        'fill="#fdecea" stroke="#b3261e"/>'
    )
    yield _text(RIGHT + 14, top + 22, "rejected", 'font-weight="bold"')
    for number, line in enumerate(reasons, 1):
        yield _text(RIGHT + 14, top + 22 + LINE * number, _fit(line), 'font-size="13"')


def _text(x: int, y: int, text: str, attributes: str) -> str:
    return f'<text x="{x}" y="{y}" {attributes}>{escape(text)}</text>'


def _fit(text: str) -> str:
    """As much of a text as fits into a box; CJK characters count as two."""
    room = COLUMNS
    for index, letter in enumerate(text):
        room -= 2 if east_asian_width(letter) in "WF" else 1
        if room < 0:
            return f"{text[: index - 1]}…"
    return text
