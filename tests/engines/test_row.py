"""How tokens are drawn: filters and penalties as vLLM means them, and a row's own randomness."""

import math
from collections import Counter

import pytest

from synth.engines import Sampling

torch = pytest.importorskip("torch")

from synth.engines.row import Row, draw  # noqa: E402

LOGITS = [2.0, 1.0, 0.0, -1.0, -2.0]
PROBABILITIES = [math.exp(one) / sum(map(math.exp, LOGITS)) for one in LOGITS]  # 0.64, 0.23, 0.09, 0.03, 0.01


def row(seed=0, prompt=(), said=(), room=100, eos=(), choices=(), watch=None, **keys):
    made = Row(prompt, Sampling(seed=seed, **keys), room, set(eos), lambda ids: "".join(map(chr, ids)), choices, watch)
    made.token_ids = list(said)
    return made


def drawn(count=4000, logits=LOGITS, **keys):
    """How often each token is drawn."""
    rows = [row(seed=seed, **keys) for seed in range(count)]
    return Counter(draw(torch.tensor([logits] * count), rows))


def said_by(made, steps=30):
    generator = torch.Generator().manual_seed(0)
    return [draw(torch.randn(1, 50, generator=generator), [made])[0] for _ in range(steps)]


def test_tokens_are_drawn_as_often_as_they_are_likely():
    counts = drawn()
    for token, probability in enumerate(PROBABILITIES):
        assert counts[token] / 4000 == pytest.approx(probability, abs=0.03)


def test_a_temperature_sharpens_and_zero_takes_the_likeliest():
    assert drawn(temperature=0.5)[0] / 4000 == pytest.approx(0.86, abs=0.03)
    assert drawn(100, temperature=0.0) == {0: 100}


@pytest.mark.parametrize(
    ("keys", "left"),
    [
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 50}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.6}, {0}),
        ({"top_p": 0.7}, {0, 1}),
        ({"top_p": 0.9}, {0, 1, 2}),
        ({"top_p": 0.01}, {0}),
        ({"min_p": 0.1}, {0, 1, 2}),
        ({"min_p": 1.0}, {0}),
        ({"top_k": 2, "top_p": 0.7}, {0}),  # of what top_k leaves, the first has 0.73
    ],
)
def test_filters_leave_what_they_should(keys, left):
    assert set(drawn(2000, **keys)) == left


def test_a_token_without_probability_is_never_drawn():
    assert set(drawn(2000, logits=[-math.inf, 0.0, -math.inf, 0.0, -math.inf])) == {1, 3}


def test_penalties_count_what_was_said():
    scores = torch.tensor([LOGITS] * 3)
    draw(scores, [
        row(temperature=0.0, frequency_penalty=0.5, presence_penalty=0.25, said=[0, 0, 3]),
        row(temperature=0.0, repetition_penalty=2.0, prompt=[0], said=[3]),
        row(temperature=0.0, said=[0], prompt=[1]),
    ])  # fmt: skip
    assert scores[0].tolist() == [0.75, 1.0, 0.0, -1.75, -2.0]
    assert scores[1].tolist() == [1.0, 1.0, 0.0, -2.0, -2.0]
    assert scores[2].tolist() == LOGITS


def test_what_a_row_says_does_not_depend_on_its_neighbours():
    alone = said_by(row(seed=7, top_p=0.9))
    generator = torch.Generator().manual_seed(0)
    rows = [row(seed=1, top_k=3), row(seed=7, top_p=0.9), row(seed=2, temperature=0.0)]
    beside = [draw(torch.randn(1, 50, generator=generator).repeat(3, 1), rows)[1] for _ in range(30)]
    assert beside == alone
    assert said_by(row(seed=8, top_p=0.9)) != alone


def test_a_row_ends_at_a_stop_token_which_it_does_not_say():
    made = row(stop_token_ids=(9,), eos=[2])
    made.append(5)
    assert made.finish_reason is None
    made.append(9)
    assert (made.token_ids, made.finish_reason, made.text) == ([5], "stop", None)
    other = row(eos=[2])
    other.append(2)
    assert (other.token_ids, other.finish_reason) == ([], "stop")


def test_a_row_is_cut_at_max_tokens_or_where_the_context_ends():
    for made in (row(max_tokens=2), row(max_tokens=50, room=2)):
        made.append(5)
        made.append(6)
        assert (made.token_ids, made.finish_reason) == ([5, 6], "length")


def test_a_stop_string_ends_a_row_across_tokens_and_stays_out_of_its_text():
    made = row(stop=("END", "never"))
    for letter in "abcEND":
        made.append(ord(letter))
    assert (made.text, made.finish_reason) == ("abc", "stop")
    assert "".join(map(chr, made.token_ids)) == "abcEND"


def test_a_row_that_is_watched_ends_where_its_watch_says_so():
    lengths = []

    def watch(token_ids):
        lengths.append(len(token_ids))
        return len(lengths) == 2

    made = row(max_tokens=500, watch=watch)
    while made.finish_reason is None:
        made.append(5)
    assert (lengths, len(made.token_ids), made.finish_reason) == ([32, 64], 64, "abort")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_with_choices_says_one_of_them_and_ends(temperature):
    said = set()
    for seed in range(30):
        made = row(seed, temperature=temperature, choices=[[3], [3, 4], [4, 1]], eos=[0])
        generator = torch.Generator().manual_seed(seed)
        while made.finish_reason is None:
            made.append(draw(torch.randn(1, 6, generator=generator), [made])[0])
        assert made.finish_reason == "stop"
        said.add(tuple(made.token_ids))
    assert said == {(3,), (3, 4), (4, 1)}


def test_a_row_with_choices_that_max_tokens_cuts_says_so():
    made = row(choices=[[4, 1]], max_tokens=1)
    made.append(4)
    assert made.finish_reason == "length"
