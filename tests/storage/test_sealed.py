"""JSON files with a checksum of themselves."""

import json

import pytest

from synth.storage.sealed import Damaged, read_sealed, write_sealed

PLAIN = {"name": "Écris\n\udcff", "counts": {"kept": 3}, "none": None}
LINES = ("shards", ['{"index": 0}', '{"index": 1}'])
CONTENT = PLAIN | {"shards": [{"index": 0}, {"index": 1}]}


def test_what_was_written_is_read_back_and_any_json_parser_reads_it_too(tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, PLAIN, lines=LINES)
    assert read_sealed(path) == CONTENT
    parsed = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    assert {key: parsed[key] for key in CONTENT} == CONTENT
    assert '    {"index": 0},\n    {"index": 1}\n' in path.read_bytes().decode("utf-8", "surrogatepass")
    write_sealed(path, {}, lines=("shards", []))
    assert read_sealed(path) == {"shards": []}


def test_any_changed_byte_any_cut_and_any_addition_is_damage(tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, CONTENT)
    whole = path.read_bytes()
    damaged = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    damaged += [whole[:length] for length in range(len(whole))] + [whole + b"\n", whole + whole]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(Damaged, match=r"a\.json: is damaged"):
            read_sealed(path)


def test_a_file_that_is_not_there_is_not_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "none.json")
