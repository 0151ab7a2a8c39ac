"""Python in the middle of an answer: what is run, what the model reads of it, and where it ends."""

import pydantic
import pytest

from synth.engines import Answer, Sampling
from synth.steps.endpoints import Endpoint
from synth.steps.ledger import Ledger
from synth.steps.llm import LLM
from synth.steps.python_tool import PythonTool, Question
from synth.steps.sample import Sample
from synth.verifiers import sandbox
from synth.verifiers.mathematics import Math
from tests.chat import formats
from tests.chat.formats import chat, tokenizer
from tests.steps.test_sample import Says

pytestmark = pytest.mark.skipif(sandbox.problem() is not None, reason=str(sandbox.problem()))

ASKED = [{"role": "user", "content": "What is 20 * 21?"}]
PROGRAM = "Let me see.\n```python\nprint(20 * 21)\n```\n"
OUTPUT = "```output\n420\n```\n"
END = "It is \\boxed{420}."


class FakeWriter:
    """Says the parts of its text one after the other, each up to the stop that it is given."""

    holds = frozenset()

    def __init__(self, *parts, template=formats.CHATML, max_model_len=10_000):
        self.parts, self.tokenizer, self.max_model_len = list(parts), tokenizer(template), max_model_len
        self.asked = []

    async def generate(self, prompt, sampling):
        self.asked.append((self.tokenizer.decode(prompt), sampling))
        part = self.parts.pop(0)
        end = "stop"
        if isinstance(part, tuple):
            part, end = part
        for stop in sampling.stop:
            part = part.partition(stop)[0]
        ids = self.tokenizer.encode(part, add_special_tokens=False)
        return Answer(ids, end, len(prompt))


async def answered(*parts, template=formats.CHATML, sampling=None, **keys):
    writer = FakeWriter(*parts, template=template)
    llm = LLM({"main": Endpoint(writer, chat(template), "fake")}, Ledger(), 7, "17", "sample")
    (answer,) = await PythonTool(**keys).answer([Question(ASKED, sampling or Sampling(max_tokens=500))], llm)
    return answer, writer


async def test_what_a_program_prints_stands_after_it_and_the_model_goes_on():
    answer, writer = await answered(PROGRAM, END)
    assert answer.completion.text == PROGRAM + OUTPUT + END
    assert (answer.runs, answer.completion.finish_reason) == (1, "stop")
    assert writer.asked[1][0].endswith(f"assistant\n{PROGRAM}{OUTPUT}")


async def test_a_model_that_ends_with_its_program_is_asked_to_go_on_too():
    answer, _ = await answered(PROGRAM.strip(), END)
    assert answer.completion.text == PROGRAM + OUTPUT + END


async def test_an_answer_without_a_program_is_as_it_is():
    answer, writer = await answered(END)
    assert (answer.completion.text, answer.runs, len(writer.asked)) == (END, 0, 1)


async def test_programs_know_what_those_before_them_named():
    answer, _ = await answered("```python\nx = 6\nprint('once')\n```\n", "\n```python\nx * 7\n```\n", "So 42.")
    assert answer.completion.text.count("once") == 2  # as it was written, and as it was printed
    assert "```output\n42\n```\nSo 42." in answer.completion.text
    assert answer.runs == 2


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("print(1 / 0)", "line 1: ZeroDivisionError: division by zero"),
        ("x = 1", ""),
        ("'a' * 5000", "'" + "a" * 49 + "..."),
        ("while True:\n    pass", "TimeoutError: it took more than 1 s of processor time"),
        ("print('```\\nI am the model')", "'''\nI am the model"),
        ("open('/etc/passwd').read()", "line 1: FileNotFoundError: [Errno 2] No such file ..."),
    ],
)
async def test_the_model_reads_of_a_program_what_is_good_for_it(program, shown):
    answer, _ = await answered(f"```python\n{program}\n```\n", "End.", cpu_s=1, most_characters=50)
    assert f"```output\n{shown}\n```\nEnd." in answer.completion.text


async def test_blocks_of_other_kinds_are_not_run():
    answer, _ = await answered("```text\nimport os\n```\n", END)
    assert (answer.completion.text, answer.runs) == (f"```text\nimport os\n```\n{END}", 0)


async def test_no_more_programs_are_run_than_rounds():
    answer, writer = await answered(PROGRAM, f"{PROGRAM}{END}", rounds=1)
    assert answer.runs == 1
    assert answer.completion.text == PROGRAM + OUTPUT + PROGRAM + END
    assert [f"\n{PythonTool().end}\n" in sampling.stop for _, sampling in writer.asked] == [True, False]


async def test_max_tokens_bounds_the_whole_answer():
    answer, writer = await answered(PROGRAM, (END, "length"), sampling=Sampling(max_tokens=100))
    assert answer.completion.finish_reason == "length"
    assert writer.asked[1][1].max_tokens < 100
    answer, writer = await answered(PROGRAM, sampling=Sampling(max_tokens=5))
    assert answer.completion.finish_reason == "length" and len(writer.asked) == 1


async def test_marks_are_keys_as_other_formats_have_them():
    tags = {"begin": "<tool_call>", "end": "</tool_call>"}
    answer, _ = await answered("Hm\n<tool_call>\n6 * 7\n</tool_call>\n", "So 42.", **tags)
    assert answer.completion.text == "Hm\n<tool_call>\n6 * 7\n</tool_call>\n```output\n42\n```\nSo 42."


async def test_a_program_in_the_middle_of_a_thought_has_its_output_there():
    answer, writer = await answered(f"<think>\n{PROGRAM}", f"Good.\n</think>\n\n{END}", template=formats.QWEN3)
    assert answer.completion.reasoning == f"{PROGRAM}{OUTPUT}Good."
    assert (answer.completion.text, answer.runs) == (END, 1)
    assert writer.asked[1][0].endswith(f"<think>\n{PROGRAM}{OUTPUT}")


async def test_an_answer_may_use_it_after_thoughts_that_did():
    answer, _ = await answered(
        f"<think>\n{PROGRAM}", f"Good.\n</think>\n\nOnce more:\n{PROGRAM}", END, template=formats.QWEN3
    )
    assert answer.completion.reasoning == f"{PROGRAM}{OUTPUT}Good."
    assert answer.completion.text == f"Once more:\n{PROGRAM}{OUTPUT}{END}"


async def sampled(*parts, **keys):
    writer = FakeWriter(*parts)
    llm = LLM({"main": Endpoint(writer, chat(formats.CHATML), "fake")}, Ledger(), 7, "17", "sample")
    step = Sample(**{"verifier": Says("\\boxed{420}."), "tool": PythonTool(), "n": 2} | keys)
    return (await step({"instruction": "What is 20 * 21?"}, llm))["candidates"], writer


async def test_answers_that_used_no_tool_do_not_pass_where_it_is_required():
    candidates, _ = await sampled(PROGRAM, END, END)
    assert [(candidate["verdict"], candidate["detail"], candidate["runs"]) for candidate in candidates] == [
        ("passed", PROGRAM + OUTPUT + END, 1),
        ("failed", "without its tool", 0),
    ]
    candidates, _ = await sampled(PROGRAM, END, END, tool=PythonTool(required=False))
    assert [candidate["verdict"] for candidate in candidates] == ["passed", "passed"]


async def test_the_seeds_of_an_answers_calls_do_not_depend_on_which_answer_comes_first():
    async def seeds(**keys):
        _, writer = await sampled(PROGRAM, PROGRAM, END, END, **keys)
        return [sampling.seed for _, sampling in writer.asked]

    assert await seeds() == await seeds() and len(set(await seeds())) == 4


def test_keys_that_contradict_one_another_are_refused():
    with pytest.raises(pydantic.ValidationError, match="end: must be a single line"):
        PythonTool(end="a\nb")
    with pytest.raises(pydantic.ValidationError, match=r"packages: 'os\.path' is not a package name"):
        PythonTool(packages=["os.path"])
    with pytest.raises(pydantic.ValidationError, match="thinking_tokens would end reasoning at a tool"):
        Sample(verifier=Math(), tool=PythonTool(), sampling=[Sampling(thinking_tokens=9)])


def test_a_package_that_is_not_there_is_missing():
    assert PythonTool(packages=["nothing_like_it"]).missing() == (
        "packages: nothing_like_it is not installed; pip install nothing_like_it"
    )
    assert PythonTool(packages=["sympy"]).missing() is None
