"""The journal of calls: what was appended comes back, and what is torn, damaged or another's does not."""

import os

import pytest

from synth.engines import Answer
from synth.storage.calls import ANSWER, Call, CallJournal, drop_calls
from synth.storage.journal import Journal
from synth.storage.run_folder import RunFolder
from synth.storage.shard import ShardSummary
from tests.storage.limits import file_size_limit

OWNER = "fingerprint 0 8"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "00000.calls.arrow"


def call(number, key=b"k", **fields):
    answer = Answer(**{"token_ids": [5, 6], "finish_reason": "stop", "prompt_tokens": 3} | fields)
    return Call(number, key, {name: getattr(answer, name) for name in ANSWER})


def taken(path, number, owner=OWNER, finished=()):
    found = CallJournal.open(path, owner, finished).take(number)
    return {key: one | {"token_ids": list(one["token_ids"])} for key, one in found.items()}


def test_it_has_a_column_for_every_field_of_an_answer():
    assert set(ANSWER) == set(Answer.__dataclass_fields__)


def test_calls_come_back_with_every_field_as_it_was(path):
    fields = {
        "cached_tokens": 2,
        "text": "Zürich\u2028",
        "engine_seconds": 0.1,
        "logprob": -0.1234567890123456,
        "counted": 9,
        "reasoning": "",
        "withheld": "w",
        "too_long": "t",
        "token_ids": [],
    }
    CallJournal.open(path, OWNER).append([call(1, b"a", **fields), call(1, b"b"), call(2)])
    assert taken(path, 1) == {b"a": call(1, **fields).answer, b"b": call(1).answer}
    assert taken(path, 3) == {}


def test_there_is_no_file_before_there_is_a_call(path):
    journal = CallJournal.open(path, OWNER)
    journal.append([])
    journal.close()
    assert not path.exists()


def test_calls_of_finished_records_are_dropped_when_it_is_opened(path):
    CallJournal.open(path, OWNER).append([call(1), call(2)])
    assert taken(path, 1, finished={1}) == {}
    assert taken(path, 1) == {} and taken(path, 2)


def test_those_of_another_run_or_shard_are_none(path):
    CallJournal.open(path, OWNER).append([call(1)])
    assert taken(path, 1, owner="fingerprint 0 16") == {}


def test_a_torn_tail_and_a_flipped_byte_cost_calls_and_give_back_no_other(path):
    journal = CallJournal.open(path, OWNER)
    for number in range(3):
        journal.append([call(number)])
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] if place % 2 else data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :])
        for number in range(3):
            assert taken(path, number) in ({}, {b"k": call(number).answer}), place


def test_a_call_that_does_not_fit_costs_no_other(path):
    journal = CallJournal.open(path, OWNER)
    journal.append([call(1), call(2, token_ids=[2**40]), call(3, text="\ud800"), call(4)])
    assert [bool(taken(path, number)) for number in (1, 2, 3, 4)] == [True, False, False, True]


def test_a_full_disk_costs_nothing_that_was_there(path):
    journal = CallJournal.open(path, OWNER)
    journal.append([call(1)])
    with file_size_limit(path.stat().st_size + 50), pytest.raises(OSError, match="File too large"):
        journal.append([call(2)])
    journal.append([call(3)])
    assert [bool(taken(path, number)) for number in (1, 2, 3)] == [True, False, True]


def test_whoever_has_lost_the_shards_journal_makes_no_file(tmp_path, path):
    shard = tmp_path / "00000.journal.arrow"
    former = CallJournal.open(path, OWNER, may_write=Journal.open(shard, {}).refuse_other_owner)
    owner = CallJournal.open(path, OWNER, may_write=Journal.open(shard, {}).refuse_other_owner)
    with pytest.raises(OSError, match="taken over by another worker"):
        former.append([call(1)])
    owner.append([call(2)])
    assert not taken(path, 1) and taken(path, 2)


def test_a_former_owner_that_still_lives_can_not_write_into_it(path):
    former = CallJournal.open(path, OWNER)
    former.append([call(1)])
    owner = CallJournal.open(path, OWNER)
    former.append([call(5)])
    owner.append([call(2)])
    assert [bool(taken(path, number)) for number in (1, 2, 5)] == [True, True, False]
    assert os.path.exists(path)


@pytest.mark.parametrize("planned_stop, keeps, stay", [(None, False, False), (9, False, True), (None, True, True)])
def test_calls_of_a_committed_shard_stay_if_it_may_go_on_or_the_run_keeps_them(tmp_path, planned_stop, keeps, stay):
    folder = RunFolder(tmp_path)
    folder.make()
    CallJournal.open(folder.calls(0), OWNER).append([call(1)])
    summary = ShardSummary(index=0, start=0, stop=8, kept=8, rejected=0, planned_stop=planned_stop)
    drop_calls(folder, summary, keeps)
    assert folder.calls(0).exists() == stay
    drop_calls(folder, summary, keeps)
