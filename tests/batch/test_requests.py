"""BatchFile: a record for each line, with the request or with the error."""

import gzip
import json

import pytest

from synth.batch.requests import PIECE, BatchFile
from synth.errors import ConfigError


def request(custom_id="a", url="/v1/chat/completions", method="POST", model=None, **more):
    body = {"messages": [{"role": "user", "content": "Hi"}]} | ({"model": model} if model else {})
    return {"custom_id": custom_id, "method": method, "url": url, "body": body} | more


@pytest.fixture
def read(tmp_path):
    def read(*lines, **keys):
        path = tmp_path / "requests.jsonl"
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
        return list(BatchFile(path=str(path), **keys).read())

    return read


def codes(records):
    return [record.get("refused", {}).get("code") for record in records]


def test_a_request_is_a_record_with_its_line_and_its_messages(read):
    (record,) = read(request())
    assert record == {
        "custom_id": "a",
        "line": 1,
        "messages": [{"role": "user", "content": "Hi"}],
        "request": {"sampling": {}},
    }


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"custom_id": "x", ', "invalid_json_line"),
        ("[1, 2]", "invalid_json_line"),
        ("\ud83e".encode("utf-8", "surrogatepass").decode("latin-1"), "invalid_json_line"),
        (request(custom_id=None), "missing_required_parameter"),
        (request(custom_id=""), "missing_required_parameter"),
        (request(custom_id=7), "invalid_type"),
        (request(method="GET"), "invalid_method"),
        (request(url="/v1/embeddings"), "invalid_url"),
        (request(body="Hi"), "invalid_type"),
        (request(boddy={}), "unknown_parameter"),
        (request(custom_id="first"), "duplicate_custom_id"),
        (request(model="gpt-4o"), "model_not_found"),
    ],
)
def test_a_line_that_can_not_be_answered_is_a_record_with_the_error_and_the_others_go_on(read, line, code):
    records = read(request("first"), line, request("last"), models=["mine"])
    assert codes(records) == [None, code, None]
    assert [record["line"] for record in records] == [1, 2, 3]
    assert records[1]["refused"]["message"] and not {"messages", "request"} & records[1].keys()


def test_blank_lines_are_no_requests_and_count_as_lines(read):
    assert [one["line"] for one in read(request("a"), "", request("b"))] == [1, 3]


def test_a_custom_id_is_missed_across_pieces(read):
    records = read(*(request(str(number)) for number in range(PIECE + 5)), request("3"), request("new"))
    assert codes(records)[-3:] == [None, "duplicate_custom_id", None]
    assert set(codes(records[:-2])) == {None}


def test_a_model_is_any_name_or_one_of_those_given(read):
    lines = [request("a", model="mine"), request("b", model="other"), request("c")]
    assert codes(read(*lines, models=["mine", None])) == [None, "model_not_found", None]
    assert codes(read(*lines, models="any")) == [None, None, None]


def test_a_file_for_another_model_is_refused_as_a_whole_with_the_key(read):
    with pytest.raises(ConfigError, match=r"source\.models: all 2 requests .*'gpt-4o'.*source\.models=any"):
        read(request("a", model="gpt-4o"), request("b", model="gpt-4o"), models=["mine"])


def test_a_file_without_any_good_line_is_refused_with_the_first_error(read):
    with pytest.raises(ConfigError, match=r"none of the 2 lines .* line 1: .*GET"):
        read(request(method="GET"), "{")


def test_a_limit_takes_the_first_lines_only(read):
    assert len(read(request("a"), request("b"), request("c"), limit=2)) == 2


def test_a_file_may_be_compressed(tmp_path):
    (tmp_path / "requests.jsonl.gz").write_bytes(gzip.compress(json.dumps(request()).encode()))
    assert codes(BatchFile(path=str(tmp_path / "requests.jsonl.gz")).read()) == [None]
