"""A pool's decisions on disk."""

import pytest

from synth.storage.decisions import Decisions, decided

DECIDED = [["Name a tree.", "Écris\n\u2028un poème \ud800."], [], ["Sing."]]


@pytest.fixture
def path(tmp_path):
    Decisions(tmp_path / "pool.jsonl").append(DECIDED)
    return tmp_path / "pool.jsonl"


def test_decisions_are_read_back_and_go_on(path):
    decisions = Decisions(path)
    assert decisions.found == DECIDED
    decisions.append([["More."]])
    decisions.append([[]])
    assert Decisions(path).found == [*DECIDED, ["More."], []]


@pytest.mark.parametrize(
    "tail", ['{"record": 3, "acc', '{"record": 3, "accepted": []}', '{"record": 7, "accepted": []}\n', "\0\0\n", "5\n"]
)
def test_a_torn_tail_is_dropped(path, tail):
    with path.open("a") as file:
        file.write(tail)
    decisions = Decisions(path)
    assert decisions.found == DECIDED
    decisions.append([["More."]])
    assert Decisions(path).found == [*DECIDED, ["More."]]


def test_a_new_file_has_none(tmp_path):
    assert Decisions(tmp_path / "new.jsonl").found == []


def test_any_flipped_bit_costs_what_follows_it_and_nothing_before(path):
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        lines = sum(end < place for end in ends)
        assert decided(path, {""}) == max(0, lines - 1)
        assert Decisions(path).found == DECIDED[: max(0, lines - 1)]


def test_a_line_that_is_missing_moved_or_of_another_pool_ends_what_counts(path, tmp_path):
    Decisions(tmp_path / "other.jsonl").append([["Else."], *DECIDED[1:]])
    head, *lines = path.read_bytes().splitlines(keepends=True)
    others = (tmp_path / "other.jsonl").read_bytes().splitlines(keepends=True)[1:]
    for damaged, left in [([lines[1], lines[0]], 0), ([lines[0], lines[2]], 1), ([lines[0], others[1]], 1)]:
        path.write_bytes(head + b"".join(damaged))
        assert decided(path, {""}) == left


def test_a_pool_of_another_run_is_begun_anew_unless_this_run_was_that_one(tmp_path):
    path = tmp_path / "pool.jsonl"
    Decisions(path, "before").append(DECIDED)
    assert decided(path, {"other"}) == 0 and decided(path, {"other", "before"}) == 3
    Decisions(path, "after", {"before"}).append([["More."]])
    assert Decisions(path, "before").found == [*DECIDED, ["More."]]
    assert Decisions(path, "other").found == []
