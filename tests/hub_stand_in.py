"""A stand-in of the Hugging Face Hub on the loopback address: the part of its API by which datasets are read."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


class HubStandIn:
    """`repositories` are datasets by name, each its files' bytes by path. A context manager; `url` is HF_ENDPOINT."""

    def __init__(self, repositories):
        self.repositories = repositories
        self.asked = []
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
        if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/paths-info/([^/]+)", unquote(self.path)):
            given = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
            return self._told(found[1], lambda name, files: self._paths(files, given["paths"]))
        return self._missing("Entry")

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
        return self._paths(files, here) + [{"type": "directory", "oid": SHA, "size": 0, "path": one} for one in folders]

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

    def _json(self, told):
        self.send_response(200)
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
