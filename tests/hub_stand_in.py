"""A stand-in of the Hugging Face Hub on the loopback address: the part of its API by which datasets are read and
pushed. Large files go the way of Git LFS, which the client takes with HF_HUB_DISABLE_XET=1."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


TOKEN = "hf_theTokenOfTheTests"


class HubStandIn:
    """`repositories` are datasets by name, each its files' bytes by path. A context manager; `url` is HF_ENDPOINT.

    Who writes needs the TOKEN. `asked` are all requests, `private` the names that were made private, `uploads` the
    digests of large files in the order in which they came in whole. Two faults can be set: `full` refuses what is to
    be stored, and `halfway` is called when half of the second large file has come.
    """

    def __init__(self, repositories):
        self.repositories = repositories
        self.asked, self.private, self.uploads = [], set(), []
        self.stored = {}
        self.full = False
        self.halfway = None
        self.first_stored = threading.Event()
        self.lock = threading.Lock()
        self.begun = 0
        hub = self

        class Handler(_Handler):
            stand_in = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: HubStandIn

    def do_GET(self):
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.stand_in.asked.append(f"{self.command} {self.path}")
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
            return self._told(found[1], self._info)
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", path):
            recursive = parse_qs(url.query).get("recursive", ["false"])[0].lower() == "true"
            return self._told(found[1], lambda name, files: self._tree(files, found[3] or "", recursive))
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.*)", path):
            return self._file(self.stand_in.repositories.get(found[1], {}).get(found[3]))
        return self._missing("Entry")

    do_HEAD = do_GET

    def do_POST(self):
        self.stand_in.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)", path):
            given = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
            return self._told(found[1], lambda name, files: self._paths(files, given["paths"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refused(401, "Invalid user token.")
        if path == "/api/repos/create":
            return self._create(**json.loads(body))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/preupload/main", path):
            given = json.loads(body)["files"]
            return self._told(found[1], lambda name, files: {"files": [_mode(files, one["path"]) for one in given]})
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._told(found[1], lambda *_: self._batch(json.loads(body)["objects"]))
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/commit/main", path):
            lines = [json.loads(line) for line in body.splitlines()]
            return self._told(found[1], lambda name, files: self._commit(name, files, lines))
        return self._missing("Entry")

    def do_PUT(self):
        self.stand_in.asked.append(f"PUT {self.path}")
        hub, size, digest = self.stand_in, int(self.headers["Content-Length"]), self.path.rpartition("/")[2]
        with hub.lock:
            hub.begun += 1
            nth = hub.begun
        data = self.rfile.read(size // 2)
        if nth == 2 and hub.halfway:
            hub.first_stored.wait(30)
            hub.halfway()
        data += self.rfile.read(size - len(data))
        if len(data) < size:
            return
        if hub.full:
            return self._refused(403, "Private repository storage limit reached.")
        assert hashlib.sha256(data).hexdigest() == digest
        hub.stored[digest] = data
        hub.uploads.append(digest)
        hub.first_stored.set()
        self._json({})

    def _create(self, name, organization, type, visibility):
        full, hub = f"{organization}/{name}", self.stand_in
        there = full in hub.repositories
        if not there:
            assert type == "dataset"
            hub.repositories[full] = {}
            if visibility == "private":
                hub.private.add(full)
        self._json({"url": f"{hub.url}/datasets/{full}"}, 409 if there else 200)

    def _batch(self, objects):
        unknown = [one for one in objects if one["oid"] not in self.stand_in.stored]
        for one in unknown:
            one["actions"] = {"upload": {"href": f"{self.stand_in.url}/lfs/{one['oid']}"}}
        return {"transfer": "basic", "objects": objects}

    def _commit(self, name, files, lines):
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.stand_in.stored[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        return {"commitUrl": f"{self.stand_in.url}/datasets/{name}/commit/{SHA}", "commitOid": SHA}

    def _told(self, name, tell):
        files = self.stand_in.repositories.get(name)
        return self._missing("Repo") if files is None else self._json(tell(name, files))

    def _info(self, name, files):
        return {
            "id": name,
            "sha": SHA,
            "lastModified": "2026-11-01T00:00:00.000Z",
            "private": False,
            "gated": False,
            "disabled": False,
            "tags": [],
            "siblings": [{"rfilename": path} for path in files],
        }

    def _tree(self, files, folder, recursive):
        prefix = f"{folder}/" if folder else ""
        below = {path: data for path, data in files.items() if path.startswith(prefix)}
        here = {path: data for path, data in below.items() if recursive or "/" not in path[len(prefix) :]}
        folders = sorted({path[: path.index("/", len(prefix))] for path in below.keys() - here.keys()})
        return self._paths(files, here) + [
            {"type": "directory", "oid": SHA, "size": 0, "path": folder} for folder in folders
        ]

    def _paths(self, files, paths):
        found = [(path, files[path]) for path in paths if path in files]
        return [{"type": "file", "oid": _oid(data), "size": len(data), "path": path} for path, data in found]

    def _file(self, data):
        if data is None:
            return self._missing("Entry")
        whole, status = data, 200
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            last = int(wanted[2]) if wanted[2] else len(whole) - 1
            data, status = whole[int(wanted[1]) : last + 1], 206
        self.send_response(status)
        self.send_header("ETag", f'"{_oid(whole)}"')
        self.send_header("X-Repo-Commit", SHA)
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            first = int(wanted[1])
            self.send_header("Content-Range", f"bytes {first}-{first + len(data) - 1}/{len(whole)}")
        self._send(data, "application/octet-stream")

    def _missing(self, what):
        self.send_response(404)
        self.send_header("X-Error-Code", f"{what}NotFound")
        self._send(b"{}", "application/json")

    def _refused(self, status, message):
        self.send_response(status)
        self._send(json.dumps({"error": message}).encode(), "application/json")

    def _json(self, told, status=200):
        self.send_response(status)
        self._send(json.dumps(told).encode(), "application/json")

    def _send(self, data, kind):
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


def _oid(data):
    return hashlib.sha1(data).hexdigest()


def _mode(files, path):
    """How a file is to be sent, and what is there under its path, told as the Hub does."""
    large = path.endswith(".parquet")
    told = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
    if path in files:
        data = files[path]
        blob = b"blob %d\0" % len(data) + data
        told["oid"] = hashlib.sha256(data).hexdigest() if large else hashlib.sha1(blob).hexdigest()
    return told
