"""Each family's pre-query prompts, stops and thinking marks, as derived from a template in its format."""

from typing import Any

import pytest

from tests.chat.families import FAMILIES, Family
from tests.chat.formats import assistant, chat, system, tokenizer, user

SPOKEN = [user("Hi"), assistant("Yes")]
families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def read(family: Family, **options: Any):
    return chat(family.template, template_kwargs=family.kwargs, **options)


def text(family: Family, ids: list[int]) -> str:
    return tokenizer(family.template).decode(ids)


def spelled(family: Family, stop) -> set[str]:
    return {*tokenizer(family.template).convert_ids_to_tokens(list(stop.token_ids)), *stop.strings}


@families
def test_the_first_turn_starts_as_the_family_is_known_to(family):
    assert text(family, read(family).pre_query()) == family.first


@families
def test_a_system_prompt_stands_where_the_family_has_it(family):
    assert text(family, read(family).pre_query([system("Be kind.")])) == family.under_system


@families
def test_a_later_turn_has_no_second_bos_and_no_assistants_heading_before_the_users(family):
    assert text(family, read(family).pre_query(SPOKEN)) == family.later


@families
def test_drop_leaves_the_lead_and_the_users_heading(family):
    dropping = read(family, default_system_prompt="drop")
    assert text(family, dropping.pre_query()) == (family.dropped or family.first)


@families
def test_a_users_words_end_where_the_familys_do(family):
    assert spelled(family, read(family).query_stop) == set(family.query_stop)


@families
def test_an_answer_ends_where_the_familys_do(family):
    assert spelled(family, read(family).response_stop) == set(family.response_stop)


@families
def test_the_ids_are_those_of_the_tokenizer_for_the_same_text(family):
    made = tokenizer(family.template)
    assert read(family).pre_query(SPOKEN) == made.encode(family.later, add_special_tokens=False)


@families
def test_what_a_user_says_is_read_back_from_its_ids_without_the_marks_around_it(family):
    ids = tokenizer(family.template).encode("Why?", add_special_tokens=False)
    reading = read(family)
    assert reading.decode([*ids, *reading.query_stop.token_ids]) == "Why?"


def said(family: Family, words: str) -> tuple[str | None, str]:
    reading = read(family)
    return reading.answer(
        reading.encode([user("Hi")]), tokenizer(family.template).encode(words, add_special_tokens=False)
    )


TAGGED = {name: family for name, family in FAMILIES.items() if family.tags and name != "Kimi K3"}


@pytest.mark.parametrize("family", TAGGED.values(), ids=TAGGED)
def test_thoughts_between_the_familys_marks_are_told_from_the_answer(family):
    start, end = family.tags
    closed = read(family).encode([user("Hi")])[-8:]
    opened = text(family, closed).rstrip().endswith(start)
    assert said(family, ("" if opened else start) + f"\nHm\n{end}\n\nYes") == ("Hm", "Yes")
    assert said(family, ("" if opened else start) + "\nHm, and so")[1] == ""
