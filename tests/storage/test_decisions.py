"""A pool's decisions on disk."""

import pytest

from synth.storage.decisions import Decisions

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
