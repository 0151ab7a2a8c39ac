"""What a model says about its answer is taken off; what the answer says of itself stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.steps.eliminations import leaks
from synth.steps.remarks import is_announcement, is_closing, without_remarks

BEFORE = "Name a river."
AFTER = 'Name a river in Asia and say, in *ten* words, why "it" matters: 1. to whom, 2. since when.'
ANNOUNCED = [
    "Sure! Here is a more complex version of the prompt:\n\n{}",
    "Certainly! Here's a more challenging version:\n\n{}",
    "Sure! Here's a rewritten version of the instruction: {}",
    "Absolutely, here is the rewritten instruction with more depth: {}",
    "A more complex version of the prompt could be:\n\n{}",
    "The new instruction is: {}",
    "Of course!\n\n{}",
    "Sure, here you go:\n\n{}",
]
LABELLED = [
    "Prompt: {}",
    "Rewritten: {}",
    "Revised instruction:\n{}",
    "**Rewritten Prompt:** {}",
    "#Rewritten Prompt#:\n{}",
    "## New Instruction\n\n{}",
]
WRAPPED = [
    "“{}”",
    "```\n{}\n```",
]
NOTED = [
    "{}\n\n(Note: I added one more constraint.)",
    "{} (Note: I have added a constraint)",
    "{}\n\nNote: I added a limit to make the prompt harder.",
    "{}\n\n**Explanation:** I added one more constraint to the original prompt.",
    "{}\n\n---\n\nThis version adds a constraint.",
    "{}\nLet me know if you need more!",
]


@pytest.mark.parametrize("said", [*ANNOUNCED, *LABELLED, *WRAPPED, *NOTED])
def test_a_remark_is_taken_off_and_is_a_leak_where_it_stays(said):
    assert without_remarks(said.format(AFTER), BEFORE) == AFTER
    assert leaks(said.format(AFTER), BEFORE, "constraints")
    assert not leaks(AFTER, BEFORE, "constraints")


@given(st.sampled_from(ANNOUNCED), st.sampled_from(LABELLED), st.sampled_from(NOTED))
def test_several_remarks_are_taken_off_together(announced, labelled, noted):
    said = announced.format(labelled.format(noted.format("Name a river in Asia.")))
    assert without_remarks(said, BEFORE) == "Name a river in Asia."


def test_quotation_marks_around_the_whole_are_taken_off():
    assert without_remarks('"Name a river in Asia."', BEFORE) == "Name a river in Asia."
    assert without_remarks('"Rivers" and "seas": which are deeper, the "seas"?', BEFORE).endswith('"seas"?')


@pytest.mark.parametrize(
    "text",
    [
        "Write an essay on rivers. Note: use at most 100 words.",
        "Write a story.\n\nNote: the story must end well.",
        "Name a river. (Note: in Asia only)",
        "Here is a list of numbers: 1, 2, 3. Sort them.",
        'Explain this sentence: "Sure! Here is my answer."',
        "What is the new version of Python called?",
        "Improve the prompt below:\nDraw a cat.",
        "Given the instructions: A, B, C, which is best?",
        "The question is: to be or not to be? Explain.",
        "Answer the question: what is a river?",
        "This is a table of rivers:\n\n| a | b |\n\nSum it.",
        "I made a cake yesterday.\n\nI added too much salt. What can I do?",
        "Fix the code:\n\n```\nx\n```",
        "Rewrite the tale.\n\nIn this version, the wolf is kind.",
        "My app broke.\n\nThe new version of the app crashes. What do I do?",
        "Explain rain.\n\nNote: answer this question in French.",
        "Write a story.\n\nNote: this version should be for children.",
        "Yes or no: is the Nile long?",
        "Let me know if a river is long.",
    ],
)
def test_an_instructions_own_words_stay(text):
    assert without_remarks(text, BEFORE) == text


def test_what_the_text_had_before_is_its_own():
    assert without_remarks("Question: Name a river in Asia.", "Question: Name a river.").startswith("Question:")
    assert without_remarks('"Name a river in Asia."', '"Name a river."').startswith('"')


def test_nothing_but_remarks_stays_and_is_a_leak():
    said = "Sure! Here is a more complex version of the prompt:"
    assert without_remarks(said, BEFORE) == said
    assert leaks(said, BEFORE, "constraints")


@given(st.text(), st.text())
def test_any_text_can_be_looked_at_and_is_not_looked_at_twice(text, before):
    once = without_remarks(text, before)
    assert without_remarks(once, before) == once
    assert is_announcement(text) in (True, False)
    assert is_closing(text) in (True, False)


@given(
    st.sampled_from(
        ["(note ", "i added a ", "#", "the new ", "Sure ", "let me know if ", " ", '"', "I added a limit.\n\n"]
    )
)
def test_a_long_text_of_half_remarks_is_looked_at_in_no_time(part):
    text = part * (20_000 // len(part)) + "x"
    assert isinstance(without_remarks(text, BEFORE), str)
    assert is_announcement(text) in (True, False)
    assert is_closing(text) in (True, False)
