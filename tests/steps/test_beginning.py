"""An answer that ends early because a filter further down the chain is certain to reject its record."""

import asyncio
import random

import pytest

from synth.engines import Answer, Sampling
from synth.engines.simulated import Simulated
from synth.quality.answer import Answer as AnswerFilter
from synth.quality.ending import Ending
from synth.quality.exact_duplicate import ExactDuplicate
from synth.quality.gibberish import Gibberish
from synth.quality.length import Length
from synth.quality.refusal import Refusal
from synth.quality.repetition import Repetition
from synth.quality.request import Request
from synth.records import Rejection
from synth.steps.chain import Context, run_record
from synth.steps.endpoints import Endpoint
from synth.steps.magpie import Magpie
from synth.steps.respond import Respond
from synth.steps.strategy import Step, Strategy
from synth.steps.text_generation import TextGeneration
from tests.quality.labelled import GOOD, ROWS
from tests.steps.fakes import FakeTemplate

SPOKEN = [text for row in (*GOOD, *ROWS) for text in (row["instruction"], row["response"]) if text]
SORRY = "I'm sorry for the confusion, but as a chatbot designed to assist with art, I'm not equipped to help. "
ODD = [
    SORRY,
    "\n<|im_start|>user\n",
    "Sure, here is a list of ten things: ",
    '"',
    "```\n",
    "\n\n",
    "Write a poem. ",
    "|",
]
FILTERS = {
    "instruction_length": Length(column="instruction", unit="words", max=200),
    "request": Request(),
    "instruction_repetition": Repetition(column="instruction"),
    "respond": Respond(sampling=Sampling(max_tokens=900)),
    "ending": Ending(),
    "length": Length(unit="characters", max=1500),
    "answer": AnswerFilter(),
    "refusal": Refusal(),
    "repetition": Repetition(),
    "gibberish": Gibberish(),
}
CHAIN = {"magpie": Magpie(only_instruction=True, instruction=Sampling(max_tokens=300)), **FILTERS}


class Scribbler(Simulated):
    """Writes pieces of what was said by models and people, loops, and what no filter lets pass. A token is a word."""

    known: dict[str, int] = {}  # noqa: RUF012

    def _words(self, rng, count):
        if rng.random() < 0.5:
            return self._known(rng.choice(SPOKEN).split(" ")[:count])
        text = rng.choice(["", *ODD])
        while len(text.split(" ")) < count:
            piece = rng.choice(SPOKEN)
            some = piece.split(" ")[: rng.randint(5, 60)]
            varied = [*some, *(f"{' '.join(some)} {n}" for n in range(rng.randint(2, 12)))]
            choices = [piece, " ".join(some * rng.randint(1, 6)), "\n".join(varied), rng.choice(ODD)]
            text += rng.choices(choices, [8, 2, 1, 1])[0] + rng.choice(["\n", " ", "\n\n"])
        return self._known(text.split(" ")[:count])

    def _known(self, words):
        return [self.known.setdefault(word, len(self.known)) for word in words]

    def _text(self, token_ids):
        words = list(self.known)
        return " ".join(words[id] for id in token_ids)


class Unwatched(Scribbler):
    async def generate(self, prompt, sampling):
        return await super().generate(prompt, sampling)


async def made(kind, chain, numbers=range(1)):
    engine = kind(tokens_per_second=1e6, first_token_s=0, median_tokens=200, sigma=1.2)
    await engine.start()
    steps = [Step(name, function, {}) for name, function in chain.items()]
    context = Context(Strategy("test", steps, {}), {"main": Endpoint(engine, FakeTemplate(), "fake")}, 0)
    return await asyncio.gather(*(run_record(number, {}, context) for number in numbers))


def tokens(finished):
    return sum(row["usage"]["completion_tokens"] for one in finished for row in one.kept + one.rejected)


async def test_the_same_rows_are_kept_and_fewer_tokens_are_written():
    whole, early = [await made(kind, CHAIN, range(400)) for kind in (Unwatched, Scribbler)]
    assert [one.kept for one in whole] == [one.kept for one in early]
    assert 20 < sum(len(one.kept) for one in whole) < 300
    assert tokens(early) < 0.9 * tokens(whole)
    aborted = [row for one in early for row in one.rejected if row["finish_reason"] == "abort"]
    assert {row["rejected_by"] for row in aborted} >= {"instruction_length", "length", "answer", "repetition"}
    assert all(row["reason"] in FILTERS[row["rejected_by"]].rejections for row in aborted)


class Told(Simulated):
    """Says what it is told to, a token a letter."""

    said = ""
    seen = 0

    async def generate(self, prompt, sampling, watch=None):
        for count in range(32, len(self.said), 32):
            Told.seen = count
            if watch and watch([ord(letter) for letter in self.said[:count]]):
                return Answer([ord(letter) for letter in self.said[:count]], "abort", len(prompt))
        return Answer([ord(letter) for letter in self.said], "stop", len(prompt))


LONG = Length(unit="words", max=20)
WORDS = " ".join(f"word{n}" for n in range(100))


async def outcome(*chain, said=WORDS):
    Told.said = said
    (finished,) = await made(Told, {f"step{place}": step for place, step in enumerate(chain)})
    (row,) = finished.kept + finished.rejected
    return row


async def test_the_filter_that_is_certain_gives_its_own_name_and_reason_and_the_text_so_far():
    row = await outcome(TextGeneration(template="Why?"), Refusal(), LONG)
    assert (row["rejected_by"], row["reason"], row["finish_reason"]) == ("step2", "too_long", "abort")
    assert row["detail"] == "24 words of response so far"
    assert WORDS.startswith(row["response"]) and row["instruction"] == "Why?"
    assert row["usage"]["completion_tokens"] == 160


async def test_a_step_between_that_may_change_the_record_keeps_a_filter_from_looking_ahead():
    def shortened(record, llm):
        return record | {"response": record["response"][:20]}

    assert "reason" not in await outcome(TextGeneration(template="Why?"), shortened, LONG)


async def test_a_step_against_duplicates_does_too_for_others_are_compared_with_what_it_claims():
    step = Step("repeated", ExactDuplicate(column="response"), {})
    steps = [Step("first", TextGeneration(template="Why?"), {}), step, Step("long", LONG, {})]
    assert Strategy("test", steps).filters_after(0) == []
    assert [one.name for one in Strategy("test", [steps[0], steps[2], step]).filters_after(0)] == ["long"]


async def test_of_several_samples_each_is_written_to_its_end():
    Told.said = WORDS
    (finished,) = await made(Told, {"first": TextGeneration(template="Why?", samples=2), "long": LONG})
    assert [row["usage"]["completion_tokens"] for row in finished.rejected] == [2 * len(WORDS), 0]


async def test_a_filter_of_ones_own_that_fails_at_a_beginning_does_so_where_it_stands():
    class Broken:
        is_filter = True

        def doomed(self, record, left):
            raise RuntimeError("too early")

        def __call__(self, record, llm):
            return Rejection("mine")

    assert (await outcome(TextGeneration(template="Why?"), Broken()))["reason"] == "mine"


@pytest.mark.parametrize(
    ("said", "judged"), [("<think>" + WORDS, False), ("<think>Hm.</think>" + WORDS, True), (WORDS, True)]
)
async def test_thoughts_are_no_text(said, judged):
    row = await outcome(Respond(), LONG, said=said)
    assert row["reason"] == "no_instruction"
    row = await outcome(TextGeneration(template="Why?"), LONG, said=said)
    assert (row["finish_reason"] == "abort") is judged


async def test_a_look_is_taken_after_32_tokens_and_then_after_a_quarter_more():
    looks = []

    class Looking:
        is_filter = True

        def doomed(self, record, left):
            looks.append((len(record["response"]), left))

        def __call__(self, record, llm):
            return record

    text = "".join(random.Random(1).choices("abcdefgh", k=500))
    await outcome(TextGeneration(template="Why?", sampling=Sampling(max_tokens=600)), Looking(), said=text)
    assert [length for length, _ in looks] == [24, 56, 88, 120, 152, 216, 280, 376, 472]  # a stop string may have begun
    assert all(length + left == 600 - 8 for length, left in looks)
