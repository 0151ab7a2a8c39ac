"""Is the final answer the known one? On answers as models write them, and on some that are meant to harm."""

import asyncio
import time

import pytest

from synth.components.instantiate import build
from synth.errors import ConfigError
from synth.verifiers import Verifier
from synth.verifiers.mathematics import Math
from synth.verifiers.processes import Processes

SAME = [
    (r"\frac{1}{2}", r"So we get $x = \dfrac12$, that is \boxed{\dfrac{1}{2}}."),
    (r"\frac{1}{2}", r"\boxed{0.5}"),
    ("1/2", r"It is $\frac{1}{2}$."),
    (0.5, r"\boxed{\frac{1}{2}}"),
    (72, "Natalia sold 48 + 24 = 72 clips.\n#### 72"),
    ("Half of 48 is 24.\n48 + 24 = <<48+24=72>>72\n#### 72", "The answer is 72."),
    ("72", "**Answer:** 72 clips"),
    ("72", "The final answer is $72$. I hope it is correct."),
    ("1234", r"\boxed{1,234}"),
    ("1000", r"\boxed{1{,}000}"),
    ("72", r"\boxed{72\text{ km}}"),
    ("100", r"\boxed{100 \text{ dollars}}"),
    ("18", "She makes $18.00 every day."),
    ("60 miles per hour", r"\boxed{60 \text{ mph}}"),
    ("3/4 cup", r"\boxed{\frac34}"),
    ("90", r"\boxed{90^\circ}"),
    ("50%", r"\boxed{50\%}"),
    ("50", r"\boxed{50\%}"),
    ("0.5", r"\boxed{50\%}"),
    ("5", r"\boxed{x = 5}"),
    ("1,2,3", r"\boxed{\{3, 1, 2\}}"),
    (r"\pm 3", r"\boxed{3, -3}"),
    ("1 or 2", r"\boxed{x = 2 \text{ or } x = 1}"),
    ("[0,1)", r"\boxed{\left[0, 1\right)}"),
    (r"x > 3", r"\boxed{(3, \infty)}"),
    (r"[0,1) \cup (2,3)", r"\boxed{(2,3) \cup [0,1)}"),
    ("(3, 4)", r"\boxed{(3,4)}"),
    (r"2\sqrt{2}", r"\boxed{\sqrt{8}}"),
    ("(x+1)^2", r"\boxed{x^2 + 2x + 1}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{bmatrix}1\\2\end{bmatrix}}"),
    (r"\log_2 8", r"\boxed{3}"),
    ("10^6", r"\boxed{1000000}"),
    ("Yes", r"\boxed{\text{yes}}"),
    ("Monday", "So the answer is **Monday**."),
    ("C", "The correct answer is (C)."),
    ("5", r"At first \boxed{7}, but no: \boxed{5}"),
]
OTHER = [
    ("72", "The answer is 71."),
    ("72", r"\boxed{-72}"),
    ("72", "72 is what some would say, but the answer is 27."),
    ("5", r"\boxed{5, 6}"),
    ("5", "It may be 3, 4, 5 or 6."),
    ("5", r"\boxed{5} or rather \boxed{6}"),
    (r"\frac{1}{3}", r"\boxed{0.33}"),
    ("[0,1)", r"\boxed{(0,1]}"),
    ("(3,4)", r"\boxed{(4,3)}"),
    (r"\infty", r"\boxed{-\infty}"),
    ("1000000007", r"\boxed{1000000008}"),
    ("no", r"\boxed{\text{on}}"),
    ("A", r"\boxed{B}"),
    ("x", r"\boxed{y}"),
    ("1", r"\boxed{\frac{0}{0}}"),
    ("50%", r"\boxed{5\%}"),
    ("72", "I do not know."),
    ("72", ""),
    ("72", r"\boxed{}"),
    ("72", r"\boxed{72"),
    ("1", r"\boxed{__import__('os').system('touch harm')}"),
]


@pytest.fixture(scope="module")
def verifier():
    return Math()


async def verdict(verifier, known, response):
    said = await verifier.verify({"answer": known, "response": response})
    await verifier.close()  # each test has an event loop of its own
    return said


@pytest.mark.slow
async def test_the_same_answer_in_another_form_passes(verifier):
    said = [(known, text, await verifier.verify({"answer": known, "response": text})) for known, text in SAME]
    await verifier.close()
    assert [one for one in said if one[2][:2] != ("passed", 1.0)] == []


@pytest.mark.slow
async def test_another_answer_fails(verifier):
    said = [(known, text, await verifier.verify({"answer": known, "response": text})) for known, text in OTHER]
    await verifier.close()
    assert [one for one in said if one[2][:2] != ("failed", 0.0)] == []


@pytest.mark.parametrize("bomb", [r"10^{10^{10^{10}}}", "100000000000!", "9^{9^{9^{9}}}"])
async def test_an_answer_that_can_not_be_reckoned_ends_at_the_bound_and_is_no_pass(bomb):
    said = await verdict(Math(cpu_s=3), "5", rf"\boxed{{{bomb}}}")
    assert said.verdict in ("timeout", "error")
    assert bomb in said.detail


async def test_the_next_answer_is_compared_after_one_that_ran_into_the_bound():
    verifier = Math(cpu_s=4)
    await verifier.verify({"answer": "5", "response": r"\boxed{10^{10^{10^{10}}}}"})
    assert (await verdict(verifier, r"\sqrt{8}", r"\boxed{2\sqrt{2}}")).verdict == "passed"


def spin(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    return True


async def test_processor_time_decides_and_not_what_else_runs_on_the_machine():
    processes = Processes("a test", spin, timeout_s=60, cpu_s=0.5, count=4)
    replies = await asyncio.gather(*(processes.ask(seconds) for seconds in (0.3, 0.3, 0.3, 5)))
    await processes.close()
    assert [reply.kind for reply in replies] == ["value", "value", "value", "timeout"]
    assert replies[-1].detail == "it took more than cpu_s=0.5 of processor time"


async def test_an_answer_without_end_fails():
    said = await Math().verify({"answer": "5", "response": rf"\boxed{{{'5 + ' * 400}5}}"})
    assert said.verdict == "failed"
    assert len(said.detail) < 1000


@pytest.mark.parametrize("known", [None, "", "  ", True, ["5"]])
async def test_without_a_known_answer_nobody_knows(known):
    said = await Math().verify({"answer": known, "response": r"\boxed{5}"})
    assert (said.verdict, said.score) == ("error", 0.0)


async def test_the_known_answer_may_stand_in_any_column():
    assert Math(answer="final").needs() == [("final",)]
    assert (await Math(answer="final").verify({"final": 5, "response": r"\boxed{5}"})).verdict == "passed"


async def test_of_a_conversation_the_last_answer_counts():
    turns = [{"role": "assistant", "content": r"\boxed{4}"}, {"role": "user", "content": "Sure?"}]
    messages = [*turns, {"role": "assistant", "content": r"No: \boxed{5}"}]
    said = await Math().verify({"answer": "5", "response": r"\boxed{4}", "messages": messages})
    assert said.verdict == "passed"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\boxed{1{,}000}", r"The answer is 1000 km."),
        (r"\boxed{\dfrac{1}{2}}", r"It is $\frac{1}{2}$."),
        (r"\boxed{x = 5}", "#### 5.0"),
        (r"\boxed{\text{Yes}}", "The answer is **yes**."),
    ],
)
def test_equal_answers_are_equal_texts_for_votes(one, other):
    assert Math().extracted({"response": one}) == Math().extracted({"response": other}) is not None


def test_where_there_is_no_final_answer_nobody_votes():
    assert Math().extracted({"response": "Who knows?"}) is None


@pytest.mark.parametrize(
    "question", ["0 + 8 = ?", "What is $0 + 8 = ?$", "So we have 0 + 8 =", "Is it 8?", "0 + 8 = **?**"]
)
def test_a_question_that_is_said_again_is_no_answer(question):
    assert Math().extracted({"response": question}) is None


@pytest.mark.parametrize(
    "unit", [r"\boxed{", r"\(", "$", "$$a", "answer is ", "1,", "1 / ", "the answer: $", "#### ", "**", "1a "]
)
def test_a_long_response_does_not_hold_up_the_loop(unit):
    for text in (unit * 50_000, f"The answer is {unit * 50_000}", rf"\boxed{{{unit * 150}}}"):
        Math().extracted({"response": text})


def test_without_math_verify_it_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr("synth.verifiers.mathematics.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^step\.verifier: needs math-verify, .* pip install math-verify$"):
        build({"_target_": "synth.verifiers.mathematics.Math"}, "step.verifier", Verifier)
