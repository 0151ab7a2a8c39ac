"""Texts that ask for nothing: articles and letters to somebody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.quality.statement import addressee, only_states, signature
from synth.steps.seed_tasks import SHIPPED, read_seeds
from tests.quality.labelled import GOOD, GRID, QUERIES

ARTICLE = (
    "The city council has approved the new tram line. It will connect the harbour with the station, and the works are "
    "expected to take two years. In a first step, the old rails are removed."
)
LETTER = "Dear Mr. Miller,\n\nI have received the parcel, and the lamp was broken.\n\nKind regards,\nAnna Berg"
ASKING = st.sampled_from(
    [
        "What does it cost?",
        "Summarize the text.",
        "Curate a list of such lines.",  # a verb that is on no list
        "Please make it shorter.",
        "My street is on it.",
        "You are a mayor.",
        "- length: 4 km",
        "For the mayor, draft a speech.",
        "Based on the facts, estimate the price.",
        "What this means for trams",
        "`tram()`",
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        ARTICLE,
        "The best vitamins are available only at the doctor's clinic.",
        "This bike was made by a legend. Many have mistaken the Bolt for the Dart, but with the Bolt it is magical.",
        "Once upon a time there was a fox that lived with the hares. They had never seen the sea.",
        "Without a doubt, the film has divided the critics: some of them left before the end.",
        LETTER,
        "Hi Jake,\n\nI was at the fair and saw the app. I am looking forward to hearing more about it.\n\nCheers,\nEve",
    ],
)
def test_an_article_a_story_and_a_letter_to_somebody_ask_for_nothing(text):
    assert only_states(text, 8)
    assert not only_states(text, len(text.split()) + 1)


@given(ASKING, st.booleans())
def test_what_may_be_a_request_anywhere_in_a_text_makes_it_one(request, first):
    assert not only_states("\n".join([request, ARTICLE] if first else [ARTICLE, request]), 8)


@pytest.mark.parametrize(
    "text",
    [
        "The history of the tram and the trolleybus in the cities of the north",
        "I just moved to Boston with my dog. The winter is cold and the people are nice.",
        "Der Rat hat die neue Linie genehmigt. Sie wird in zwei Jahren fertig, und die Arbeiten beginnen bald.",
        "De raad heeft de lijn goedgekeurd. Het werk begint in de zomer, met een brug over de rivier.",
        "Hi there,\n\nThe lamp that came with the parcel is broken.\n\nThanks,\nAnna",
        "The movie was described with emojis. It has the ship and the iceberg: 🚢🧊",
        "The given review has to be rated, and the answer is one word.",
        "The tone of the email should be changed, and the ending has to be polite.",
        "The sum of two numbers is ten, and the larger of them is the number {x}.",
        "",
    ],
)
def test_titles_accounts_of_oneself_other_languages_and_tasks_are_left(text):
    assert not only_states(text, 8)


def test_what_users_type_is_not_taken_for_an_article():
    seeds = [task.instruction for task in read_seeds(SHIPPED)]
    foreign = [text for texts in QUERIES["foreign"].values() for text in texts]
    typed = [*seeds, *QUERIES["short"], *foreign, *GRID, *(record["instruction"] for record in GOOD)]
    assert [text for text in typed if only_states(text, 8)] == []


def test_who_is_greeted_and_who_signs():
    assert (addressee(LETTER), signature(LETTER)) == ("Miller", "Anna Berg")
    assert (addressee("Hello team,\n\nall is well."), signature("All is well.\n\n- Anna")) == (None, None)
    assert addressee("Hi Anna, how are you?") is None  # no letter


@given(st.text(max_size=200))
def test_any_text_is_judged(text):
    assert only_states(text, 1) in (True, False)
