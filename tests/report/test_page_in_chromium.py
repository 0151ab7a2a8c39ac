"""The report in a real browser: it works, it fits a phone, and nothing that a model wrote does anything."""

import re
from itertools import pairwise

import pytest
import pytest_asyncio

from synth.report.page import report
from synth.report.run_data import Run
from tests.report.chromium import DESKTOP, PHONE, PROGRAM, chromium
from tests.report.runs import kept, make_run, rejected
from tests.report.test_throughput import lines

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium"),
    pytest.mark.slow,
]

EVIL = (
    "</script><script>window.ran=1</script><!--<script><img src=x onerror='window.ran=2'>"
    '<a href="javascript:window.ran=3">x</a><svg onload=window.ran=4>\u202eevil\x1b[31m{{7*7}}${7*7}\'"]]>&lt;'
)
SHOWN = EVIL.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page():
    async with chromium() as page:
        yield page


def hostile_run(path):
    """Everything that can hold a text holds EVIL."""
    turns = [{"role": role, "content": EVIL} for role in ("system", "user", EVIL)]
    lineage = [{"step": EVIL, "text": EVIL, "operation": EVIL}]
    texts = dict.fromkeys(("instruction", "response", "system_prompt", "strategy", "model", "finish_reason"), EVIL)
    more = texts | {"messages": turns, "lineage": lineage, "label": "<img src=x onerror=window.ran=5>", "long": EVIL}
    rows = [kept(0, **more) | {"id": EVIL}, kept(1, **more), kept(2, **more) | {"messages": None}]
    rows += [rejected(3, EVIL, EVIL, detail=EVIL, **more) | {"id": f"3{EVIL}"}]
    step = {"_target_": f"a.{EVIL}", "prompt": f"{path}{EVIL}"}
    identity = {"strategy": {"name": EVIL, EVIL: step, "steps": [EVIL]}, "model": {"path": EVIL}, "seed": EVIL}
    name = path / "<img src=x onerror='window.ran=6'>\u202e"
    return Run.open(make_run(name, rows, {"label": "string", "long": "string"}, identity=identity))


async def opened(page, tmp_path, text):
    page.requests.clear()
    page.errors.clear()
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    await page.open((tmp_path / "page.html").as_uri())


@pytest.mark.parametrize("policy", [True, False], ids=["policy", "escaping alone"])
@pytest.mark.parametrize("runs", [1, 2])
async def test_hostile_text_is_text_and_nothing_of_it_runs(page, tmp_path, runs, policy):
    text = report([hostile_run(tmp_path / name) for name in "ab"[:runs]])
    if not policy:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    await opened(page, tmp_path, text)
    await page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    await page.run("document.querySelectorAll('main a, summary').forEach(one => one.click())")
    await page.run("search.value = 'evil'; search.dispatchEvent(new Event('input'))")
    assert await page.run("typeof window.ran") == "undefined"
    assert await page.run("document.querySelectorAll('img, [onerror], [onload], a[href^=javascript]').length") == 0
    assert await page.run("document.scripts.length") == 2
    said = await page.run("document.querySelector('#list').textContent")
    assert said.count(SHOWN) >= 4 * 8 * runs
    everything = await page.run("document.documentElement.textContent")
    assert "\u202e" not in everything and "\x1b" not in everything
    assert page.errors == [] and len(page.requests) == 1


async def test_rows_can_be_searched_and_chosen_by_their_end(page, tmp_path):
    rows = [kept(n, f'Say {n} "loud"\nagain') for n in range(45)] + [rejected(n, detail="why") for n in range(45, 50)]
    await opened(page, tmp_path, report([Run.open(make_run(tmp_path / "run", rows))]))

    async def shown():
        return await page.run("[found.textContent, document.querySelectorAll('article').length, further.hidden]")

    assert await shown() == ["50 rows", 20, False]
    await page.run("further.click()")
    assert (await shown())[1] == 40
    await page.run("search.value = 'SAY 7 \"loud\"'; search.dispatchEvent(new Event('input'))")
    assert await shown() == ["1 of 50 rows", 1, True]
    assert await page.run("document.querySelector('mark').textContent") == 'Say 7 "loud"'
    await page.run("search.value = ''; fate.value = '=judge: low_score'; fate.dispatchEvent(new Event('change'))")
    assert await shown() == ["5 of 50 rows", 5, True]
    assert page.errors == []


async def test_rows_are_filtered_and_sorted_by_their_columns(page, tmp_path):
    scores = [3, 1, None, 2, 10]
    rows = [kept(n, finish_reason="length" if n == 1 else "stop", score=score) for n, score in enumerate(scores)]
    rows.insert(2, rejected(2, score=7.5, detail="why"))
    rows = [row | {"id": str(n)} for n, row in enumerate(rows)]
    await opened(page, tmp_path, report([Run.open(make_run(tmp_path / "run", rows, {"score": "double"}))]))

    async def ids():
        return await page.run("[...document.querySelectorAll('.row .id')].map((one) => one.textContent)")

    async def choose(id, value):
        event = "input" if id == "value" else "change"
        await page.run(f"{id}.value = {value!r}; {id}.dispatchEvent(new Event('{event}'))")

    assert await ids() == ["#0", "#1", "#3", "#4", "#5", "#2"]  # kept ones first
    assert await page.run("[...document.querySelectorAll('.chip.cut')].map((one) => one.textContent)") == [
        "cut by max_tokens"
    ]
    await choose("sort", "-score")
    assert await ids() == ["#5", "#2", "#0", "#4", "#1", "#3"]  # by size, what has none last
    await choose("sort", "+score")
    assert await ids() == ["#1", "#4", "#0", "#2", "#5", "#3"]
    await choose("column", "score")
    await choose("value", ">=3")
    assert await ids() == ["#0", "#2", "#5"]
    assert await page.run("found.textContent") == "3 of 6 rows"
    await choose("column", "finish_reason")
    await choose("value", "length")
    assert await ids() == ["#1"]
    assert page.errors == []


async def test_tables_and_names_are_whole_on_a_phone(page, tmp_path):
    step, reason = "instruction_repetition", "a_reason_of_thirty_characters_x"
    rows = [kept(n) for n in range(30)] + [rejected(n, step, reason) for n in range(30, 40)]
    steps = {name: {"_target_": "a.Filter"} for name in ("instruction_gibberish", step, "response_of_the_second_model")}
    identity = {"strategy": {"name": "mine", **steps, "steps": list(steps)}}
    await page.look(PHONE)
    await opened(page, tmp_path, report([Run.open(make_run(tmp_path / "run", rows, identity=identity))]))
    cut = """[...document.querySelectorAll('.costs th, .costs td, .words b, .words span, .shares th')].filter((one) =>
        one.offsetParent && (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline'
        || one.getBoundingClientRect().right > innerWidth)).map((one) => one.textContent)"""
    assert await page.run(cut) == []
    lines = """[...document.querySelectorAll('.words p')].map((one) => one.getBoundingClientRect())
        .map((one) => [one.top, one.bottom])"""
    boxes = await page.run(lines)
    assert all(above[1] <= below[0] + 4 for above, below in pairwise(boxes))
    assert await page.run("[...document.querySelectorAll('.costs .less')].length") == 0
    assert await page.run("document.documentElement.scrollWidth") <= PHONE[0]


async def test_every_chart_has_an_axis(page, tmp_path):
    rows = [kept(n, "x" * n, "y" * (3 * n), score=n / 7) for n in range(1, 40)]
    rows = [row | {"id": str(n)} for n, row in enumerate(rows)]
    snapshots = lines(1.0, 6.0, 11.0)
    run = Run.open(make_run(tmp_path / "run", rows, {"score": "double"}, snapshots=snapshots))
    await opened(page, tmp_path, report([run]))
    charts = "document.querySelectorAll('.bars, svg.line')"
    assert await page.run(f"{charts}.length") >= 3
    assert await page.run(f"[...{charts}].every((one) => one.parentElement.querySelector('.scale').textContent)")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_a_comparison_with_long_words_fits_the_screen(page, tmp_path, size):
    long = "x" * 300
    rows = [kept(n, long, long, label=long[:40], score=n / 7) for n in range(30)]
    rows += [rejected(30, long, long, label=None, score=None)]
    columns = {"label": "string", "score": "double"}
    runs = [Run.open(make_run(tmp_path / (name * 60), rows, columns, identity={"seed": name * 300})) for name in "ab"]
    await page.look(size)
    await opened(page, tmp_path, report(runs))
    assert await page.run("document.documentElement.scrollWidth") <= size[0]


async def test_dark_mode_turns_the_colours_round(page, tmp_path):
    await opened(page, tmp_path, report([Run.open(make_run(tmp_path / "run", [kept(0)]))]))
    backgrounds = []
    for dark in (False, True):
        await page.look(DESKTOP, dark)
        backgrounds.append(await page.run("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds == ["rgb(247, 246, 242)", "rgb(19, 21, 22)"]
