"""How much faster the novelty filter decides than rouge_score does, on a pool of 10,000 texts.

    python benchmarks/novelty.py [--candidates 8]

Both decide on the same candidates in turn, one thread, wall-clock. rouge_score is called as Self-Instruct's published
code calls it, once a text of the pool. The ratio is that of each pair; the table shows the least and the median one.
Two pools: instructions of the demonstration model's grammar, many of them alike (more doubtful texts to measure), and
passages of Python's own manual.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pydoc_data.topics import topics

from rouge_score.rouge_scorer import RougeScorer

from synth.demo_model.grammar import topic
from synth.quality.novelty import Novelty

POOL = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=8)
    candidates = parser.parse_args().candidates
    print("pool of 10,000       fill  rouge_score     novelty    least   median   novel")
    for name, texts in (("instructions", instructions()), ("passages", passages())):
        compare(name, texts[:POOL], texts[POOL : POOL + candidates])
    return 0


def compare(name: str, pool: list[str], asked: list[str]) -> None:
    """One line of the table: both filters on the same candidates in turn."""
    start = time.perf_counter()
    novelty = Novelty(0.7, pool)
    filled = time.perf_counter() - start
    scorer = RougeScorer(["rougeL"], use_stemmer=False)

    def rouge_score(text: str) -> bool:
        return max(scorer.score(text, one)["rougeL"].fmeasure for one in pool) <= novelty.threshold

    slow, fast, novel = [], [], 0
    for text in asked:
        expected = timed(rouge_score, text, slow)
        assert timed(novelty.is_novel, text, fast) == expected, text
        novel += expected
    ratios = [one / other for one, other in zip(slow, fast, strict=True)]
    print(
        f"{name:16} {filled:6.2f} s {statistics.median(slow) * 1e3:9.1f} ms {statistics.median(fast) * 1e3:8.2f} ms "
        f"{min(ratios):7,.0f}x {statistics.median(ratios):7,.0f}x {novel:3} of {len(asked)}"
    )


def timed(decide: Callable[[str], bool], text: str, seconds: list[float]) -> bool:
    start = time.perf_counter()
    decision = decide(text)
    seconds.append(time.perf_counter() - start)
    return decision


def instructions() -> list[str]:
    rng = random.Random(0)
    return [topic(rng).question for _ in range(POOL + 100)]


def passages() -> list[str]:
    rng = random.Random(0)
    words = " ".join(topics[name] for name in sorted(topics)).split()
    starts = rng.sample(range(len(words)), POOL + 100)
    return [" ".join(words[start : start + rng.randint(6, 30)]) for start in starts]


if __name__ == "__main__":
    sys.exit(main())
