"""Documents that can't be read: one is a bad row with its name, and takes nothing else with it."""

import io
import json
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from synth.errors import ConfigError
from synth.models.model import Model
from synth.sources import BadRow
from synth.sources.documents import Documents, conversion
from synth.sources.documents.blocks import Document, Unreadable
from synth.sources.documents.conversion import converted
from synth.sources.store import survey
from tests.sources.documents import files

DEMO = Model(path="demo")
ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "bees "><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">&b;</w:document>'
)


def zipped(**parts):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/") + ".xml", content)
    return file.getvalue()


BAD = {
    "empty.md": (b" \n", "is empty"),
    "comment.md": (b"<!-- nothing -->", "has no text"),
    "headings.md": (b"# Bees\n\n## Wasps\n", "has headings only"),
    "latin.txt": ("Königin".encode("latin-1"), "is not utf-8"),
    "binary.txt": (b"\x00\x01\x02", "is no text"),
    "locked.pdf": (files.pdf(password="secret"), "is encrypted"),
    "scan.pdf": (files.scanned_pdf(), "has no text on its page: a scan needs text recognition first"),
    "torn.pdf": (files.pdf()[:600], "is not a readable PDF file"),
    "torn.docx": (files.word()[:600], "is not a readable docx file"),
    "no.docx": (zipped(a=b"<a/>"), "is not a readable docx file"),
    "old.docx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "is encrypted, or a .doc file"),
    "entities.docx": (files.word_with("word/document.xml", ENTITIES), "has a document type in word/document.xml"),
    "bomb.docx": (files.word_with("word/document.xml", b" " * 2**27), "has more than 64 MiB of XML"),
    "deep.html": (b"<div>" * 20_000 + b"bees", "is nested too deep"),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name, (data, _) in BAD.items():
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in" / "good.md").write_text("# Bees\n\nThey fly.")
    return tmp_path / "in"


def test_each_is_a_bad_row_with_its_file_and_reason(folder):
    rows = list(Documents(path=str(folder), model=DEMO).read())
    bad = {os.path.basename(row.file): row for row in rows if isinstance(row, BadRow)}
    assert bad.keys() == BAD.keys()
    for name, (_, reason) in BAD.items():
        assert bad[name].reason.startswith(reason), bad[name]
        assert bad[name].file == str(folder / name)
    (good,) = (row for row in rows if not isinstance(row, BadRow))
    assert good["context"] == "# Bees\n\nThey fly."


def test_a_run_stops_at_the_first_or_sets_them_aside(folder):
    with pytest.raises(ConfigError, match=r"source: .*binary\.txt: is no text.*source\.bad_rows=set_aside"):
        survey(Documents(path=str(folder), model=DEMO))
    contents = survey(Documents(path=str(folder), model=DEMO, bad_rows="set_aside"))
    assert (contents.rows, contents.bad_rows) == (1, len(BAD))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_a_bad_row(folder):
    (folder / "good.md").chmod(0)
    rows = list(Documents(path=str(folder / "good.md"), model=DEMO).read())
    assert [row.reason for row in rows] == ["can't be read (Permission denied)"]


def test_a_link_to_nothing_is_a_bad_row_of_its_folder(folder):
    (folder / "gone.md").symlink_to(folder / "nowhere.md")
    rows = list(Documents(path=str(folder), model=DEMO).read())
    assert "can't be read (No such file or directory)" in [row.reason for row in rows if isinstance(row, BadRow)]


def test_a_document_beyond_the_bounds_is_not_read_whole(folder, monkeypatch):
    monkeypatch.setattr(conversion, "LARGEST", 2**10)
    (folder / "large.txt").write_text("bees " * 2**12)
    (row,) = Documents(path=str(folder / "large.txt"), model=DEMO).read()
    assert row.reason.startswith("has more than")


@pytest.fixture
def frail_reader(tmp_path, monkeypatch):
    """A reader of text that fails as its text says."""
    (tmp_path / "frail_reader.py").write_text(
        "import os\n"
        "from synth.sources.documents import child, plain\n"
        "def read(data, encodings):\n"
        "    while data == b'slow': pass\n"
        "    return {b'large': lambda: bytearray(2**31), b'killed': lambda: os.kill(os.getpid(), 9),\n"
        "            b'crashes': os.abort, b'fine': lambda: plain.of_markdown('Bees fly.')}[data]()\n"
        "child.CPU_S, plain.text = 0.5, read\n"
        "child.main()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(conversion, "MODULE", "frail_reader")


def test_a_reader_that_ends_takes_only_its_document_with_it(folder, frail_reader):
    names = ["slow", "fine", "killed", "fine", "crashes", "large", "fine"]
    for name in names:
        (folder / name).write_text(name)
    found = [(path.name, one) for (path, _), one in converted([(folder / name, "text") for name in names], ["utf-8"])]
    assert [name for name, _ in found] == names
    assert all(one.blocks[0].text == "Bees fly." for name, one in found if name == "fine")
    reasons = {name: str(one) for name, one in found if name != "fine"}
    assert "of processor time" in reasons["slow"]
    assert "of memory" in reasons["killed"] and "of memory" in reasons["large"]
    assert "signal 6" in reasons["crashes"]


def test_nothing_that_a_document_refers_to_is_loaded(folder):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/a.png"
        page = files.PAGE.replace("{port}", str(server.server_port))
        (folder / "page.html").write_text(page.replace("<body>", f'<body><iframe src="{address}"></iframe>'))
        relations = zipfile.ZipFile(io.BytesIO(files.word())).read("word/_rels/document.xml.rels").decode()
        image = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/image"
        linked = f'<Relationship Id="x9" Type="{image}" Target="{address}" TargetMode="External"/></Relationships>'
        relations = relations.replace("</Relationships>", linked)
        (folder / "linked.docx").write_bytes(files.word_with("word/_rels/document.xml.rels", relations))
        for name in ("page.html", "linked.docx"):
            assert all("context" in row for row in Documents(path=str(folder / name), model=DEMO).read())
        server.shutdown()
    assert not asked


def test_what_a_reader_replies_is_checked():
    for reply in (None, [], ["title"], ["title", [["verse", "text", 0, None]]], ["title", [["list", 5, 0, None]]]):
        with pytest.raises(Unreadable):
            Document.of_plain(json.loads(json.dumps(reply)))
