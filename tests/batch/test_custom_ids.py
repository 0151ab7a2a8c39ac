"""CustomIds: which ids were there before, whatever the pieces in which they come."""

from hypothesis import given, settings
from hypothesis import strategies as st

from synth.batch.custom_ids import CustomIds

IDS = st.lists(st.one_of(st.sampled_from(["a", "b", "é", ""]), st.text(max_size=3)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(st.lists(IDS, max_size=8))
def test_an_id_is_repeated_if_an_earlier_one_is_the_same(pieces):
    ids, seen = CustomIds(), set()
    for piece in pieces:
        expected = []
        for id in piece:
            expected.append(id in seen)
            seen.add(id)
        assert ids.repeated(piece) == expected


def test_of_many_ids_none_is_taken_for_another():
    ids = CustomIds()
    pieces = [[f"request-{number}" for number in range(start, start + 1000)] for start in range(0, 50_000, 1000)]
    assert not any(one for piece in pieces for one in ids.repeated(piece))
    assert all(one for piece in pieces for one in ids.repeated(piece))
