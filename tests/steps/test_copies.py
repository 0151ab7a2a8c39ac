"""What a prompt showed is known again, with other punctuation, cut, or with a few words added."""

from hypothesis import given
from hypothesis import strategies as st

from synth.steps.copies import is_copy

words = st.text(alphabet="abcdefghij", min_size=1, max_size=6)
long = st.lists(words, min_size=8, max_size=30)


@given(shown=long, start=st.integers(0, 3), end=st.integers(0, 3))
def test_any_part_of_a_shown_text_is_a_copy_whatever_its_case_and_punctuation(shown, start, end):
    part = shown[start : len(shown) - end]
    assert is_copy("“" + ", ".join(part).upper() + "!”", ["other words", " ".join(shown)])


@given(shown=long, own=st.lists(st.text(alphabet="uvwxyz", min_size=1), min_size=1, max_size=20))
def test_a_beginning_with_few_words_of_its_own_is_a_copy_and_one_with_more_is_none(shown, own):
    text = " ".join([*shown, *own])
    assert is_copy(text, [" ".join(shown)]) == (len(own) <= 0.25 * len(shown))


@given(shown=long)
def test_a_request_before_a_quotation_is_no_copy(shown):
    assert not is_copy("Zzz: " + " ".join(shown), [" ".join(shown)])


def test_texts_without_spaces_are_compared_by_their_characters():
    assert is_copy("蜜蜂通过舞蹈告诉同伴", ["蜜蜂通过舞蹈告诉同伴花在哪里。"])
    assert not is_copy("蜜蜂为什么跳舞", ["蜜蜂通过舞蹈告诉同伴花在哪里。"])


@given(text=st.text(), shown=st.lists(st.text(), max_size=3))
def test_no_text_raises(text, shown):
    assert is_copy(text, shown) in (True, False)
