"""Files by URL: in fsspec's own store in memory, on a real HTTP server, and in stores whose package is not here."""

import functools
import gzip
import http.server
import json
import sys
import threading

import fsspec
import pytest
from datasets import load_from_disk

from synth.run import main
from synth.sources.files import Files
from tests.error_lines import check_line
from tests.sources.test_files import NAMES, ROWS, read, refusal, write


@pytest.fixture
def bucket():
    """A folder in memory, and a function that puts a local file or folder there."""
    system = fsspec.filesystem("memory")

    def put(path):
        system.put(str(path), f"/bucket/{path.name}", recursive=path.is_dir())
        return f"memory://bucket/{path.name}"

    yield put
    system.rm("/bucket", recursive=True)


@pytest.fixture
def server(tmp_path):
    """The address of a web server of the files in a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()


@pytest.mark.parametrize("name", NAMES.split())
def test_rows_of_every_format_are_the_same_in_a_store(tmp_path, bucket, name):
    written = tmp_path / name.lower()
    write(written)
    texts = any(kind in name for kind in ("csv", "tsv"))
    assert read(bucket(written)) == [row | {"n": str(row["n"])} if texts else row for row in ROWS]


def test_a_pattern_names_files_in_a_store_in_the_order_of_their_names(tmp_path, bucket):
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.jsonl", [{"name": name}])
        bucket(tmp_path / f"{name}.jsonl")
    assert [row["name"] for row in read("memory://bucket/[ab].jsonl")] == ["a", "b"]
    check_line(refusal("memory://bucket/*.csv"), "source.path", "'memory://bucket/*.csv'")


def test_the_stamp_changes_with_a_file_in_a_store(tmp_path, bucket):
    write(tmp_path / "a.jsonl")
    url = bucket(tmp_path / "a.jsonl")
    before = Files(path=url).stamp()
    assert Files(path=url).stamp() == before
    bucket(tmp_path / "a.jsonl")
    assert Files(path=url).stamp() != before


def test_files_are_read_from_a_web_server(tmp_path, server):
    write(tmp_path / "a.jsonl", ROWS * 1000)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert read(f"{server}/{name}") == ROWS * 1000
        assert Files(path=f"{server}/{name}").stamp()[0][1] == (tmp_path / name).stat().st_size
    check_line(refusal(f"{server}/b.jsonl"), "source.path", f"'{server}/b.jsonl'")


def test_a_file_of_nonsense_in_a_store_is_told_in_one_line(tmp_path, bucket):
    (tmp_path / "a.parquet").write_bytes(b"nonsense" * 10)
    error = refusal(bucket(tmp_path / "a.parquet"))
    assert (
        error.startswith("source.path: memory:///bucket/a.parquet is not a readable parquet file") and "\n" not in error
    )


@pytest.mark.parametrize(("url", "package"), [("s3://bucket/a.jsonl", "s3fs"), ("gs://bucket/a.jsonl", "gcsfs")])
def test_a_store_whose_package_is_not_installed_is_told_with_its_name(url, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    error = refusal(url)
    assert error.startswith(f"source.path: {url} can't be read (") and package in error and "\n" not in error


def test_what_is_no_store_is_refused():
    check_line(refusal("s4://bucket/a.jsonl"), "source.path: s4://bucket/a.jsonl", "Protocol not known: s4")


@pytest.mark.parametrize(
    "url",
    ["s3://me:hunter2@bucket/a.jsonl", "https://host/a.jsonl?X-Amz-Signature=hunter2", "ftp://hunter2@host/a.csv"],
)
def test_a_url_with_a_secret_is_refused_and_not_repeated(url):
    error = refusal(url)
    assert error.startswith("source.path: a URL must have no user, password or query") and "hunter2" not in error


@pytest.mark.slow
def test_a_run_reads_its_source_from_a_store_and_no_worker_does(tmp_path, bucket, monkeypatch):
    write(tmp_path / "heroes.jsonl", [{"hero": f"hero {number}"} for number in range(20)])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    words = ["+strategy=text_generation", 'strategy.text_generation.template="About {{ hero }}."', "source=file"]
    words += [f"source.path={bucket(tmp_path / 'heroes.jsonl')}", "num_records=all", "engine=simulated"]
    folder = tmp_path / "run"
    assert main([*words, "engine.median_tokens=5", f"output_dir={folder}"]) == 0
    rows = load_from_disk(str(folder / "dataset"))
    assert [row["messages"][0]["content"] for row in rows] == [f"About hero {number}." for number in range(20)]
    assert not any(b"hunter2" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert json.loads((folder / "source" / "source.json").read_text())["contents"]["rows"] == 20
