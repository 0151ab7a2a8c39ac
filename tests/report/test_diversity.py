"""How varied instructions are: verbs and objects, n-grams, neighbours."""

import pytest

from synth.report.diversity import MOST_TEXTS, distinct, diversity, instructions, nearest, verb_and_object
from synth.report.run_data import Run
from tests.report.runs import kept, make_run


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("Write a short story about a fox.", ("write", "story")),
        ("Can you please give me five ideas for dinner?", ("give", "idea")),
        ("I have a cat. Suggest names for it.", ("suggest", "name")),
        ("Write a Python function says_coat that adds.", ("write", "function")),
        ("List the companies.", ("list", "company")),
        ("Explain how photosynthesis works.", None),
        ("Who wrote Hamlet?", None),
        ("She will write a letter.", None),
        ("写一个故事", None),
        ("", None),
    ],
)
def test_an_imperative_is_found_with_its_object(text, pair):
    assert verb_and_object(text) == pair


def test_distinct_n_is_the_share_of_different_n_grams():
    assert distinct([["a", "b", "a", "b"]], 1) == 0.5
    assert distinct([["a", "b", "a", "b"]], 2) == pytest.approx(2 / 3)
    assert distinct([["a"], []], 2) == 0


def test_each_text_knows_its_most_similar_other():
    assert nearest([{"a", "b"}, {"a", "b", "c"}, {"z"}, set()]).tolist() == pytest.approx([2 / 3, 2 / 3, 0, 0])
    assert nearest([{"a"}, {"a"}]).tolist() == [1, 1]
    assert nearest([{"a"}]).tolist() == []


def test_letters_of_chinese_are_words_of_their_own():
    assert diversity(["你好", "你们"]).nearest.tolist() == pytest.approx([1 / 3, 1 / 3])


def test_verbs_come_with_their_objects_the_commonest_first():
    found = diversity(["Name a fox.", "Write a poem.", "Write a story.", "What now?"])
    assert [*found.verbs] == ["write", "name"] and found.verbs["write"] == {"poem": 1, "story": 1}
    assert (found.with_verb, found.texts) == (3, 4)


def test_instructions_of_a_large_run_are_sampled_evenly(tmp_path):
    run = Run.open(make_run(tmp_path, [kept(n, f"text {n}") for n in range(MOST_TEXTS + 1000)], shard_size=2500))
    found = instructions(run)
    assert len(found) == MOST_TEXTS and found[0] == "text 0" and found[-1] == "text 5998"
