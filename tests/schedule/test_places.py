"""Which node each engine is on, whatever nodes come and go and whatever GPUs are moved between models."""

from hypothesis import given, settings
from hypothesis import strategies as st

from synth.schedule.balance import Shift
from synth.schedule.places import Places, Share

BIG, SMALL = Share(8.0, 1, True), Share(1.0, 1, True)


def on(places, name):
    return sorted(count for count in places.at[name].values() if count)


def test_an_engine_of_a_whole_node_finds_one_beside_small_ones():
    places = Places({"main": BIG, "judge": Share(1.0, 2, False)})
    assert places.follow({"a": 8.0, "b": 8.0}, "main") is None
    assert (on(places, "main"), on(places, "judge")) == ([1], [2])


def test_what_is_left_is_main_s_and_what_main_can_not_fill_another_s():
    places = Places({"main": Share(4.0, 1, True), "judge": SMALL})
    assert places.follow({"a": 8.0, "b": 8.0}, "main") is None
    assert (places.count("main"), places.count("judge")) == (3, 4)


def test_for_one_large_engine_the_small_ones_of_one_node_go():
    places = Places({"main": SMALL, "judge": BIG})
    assert places.follow({"a": 8.0, "b": 8.0, "c": 8.0}, "main") is None
    assert (on(places, "main"), on(places, "judge")) == ([8, 8], [1])
    assert places.shift(Shift("main", "judge", 1)) == 1
    assert (on(places, "main"), on(places, "judge")) == ([8], [1, 1])
    assert places.shift(Shift("main", "judge", 1)) == 0  # some are to stay


def test_what_was_on_a_lost_node_goes_to_the_others_at_the_cost_of_those_that_may_shrink():
    places = Places({"main": Share(4.0, 1, True), "judge": Share(1.0, 2, False)})
    places.follow({"a": 8.0, "b": 8.0}, "main")
    [judges] = [node for node, count in places.at["judge"].items() if count]
    before = places.copy()
    assert places.follow({node: 8.0 for node in "ab" if node != judges}, "main") is None
    assert (places.count("main"), places.count("judge")) == (1, 2)
    assert places != before and before.count("main") == 3


def test_a_model_for_which_there_is_no_room_is_named():
    assert Places({"main": SMALL, "judge": BIG}).follow({"a": 7.0}, "main") == "judge"


@settings(deadline=None)
@given(st.data())
def test_no_node_is_ever_overfull_and_no_model_without_its_least(data):
    sizes = st.sampled_from([1.0, 2.0, 4.0, 8.0])
    shares = {
        name: Share(data.draw(sizes), data.draw(st.integers(1, 2)), data.draw(st.booleans()))
        for name in ("main", "judge", "tagger")
    }
    places, nodes = Places(shares), {}
    for number in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()) or not nodes:
            nodes[f"n{number}"] = data.draw(sizes)
        else:
            nodes.pop(data.draw(st.sampled_from(sorted(nodes))))
        after = places.copy()
        if after.follow(nodes, "main") is not None:
            continue
        places = after
        growing = [name for name in shares if shares[name].grow]
        for _ in range(data.draw(st.integers(0, 3)) if len(growing) > 1 else 0):
            giver, taker = data.draw(st.permutations(growing))[:2]
            places.shift(Shift(giver, taker, data.draw(st.integers(1, 3))))
        for node, gpus in nodes.items():
            assert sum(shares[name].gpus * places.at[name][node] for name in shares) <= gpus
        for name, share in shares.items():
            assert set(+places.at[name]) <= set(nodes)
            assert places.count(name) >= 1
            assert share.grow or places.count(name) == share.least
