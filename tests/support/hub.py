"""A model hub on this machine: as much of its interface as downloading a repository, or uploading one, needs."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from huggingface_hub.utils import close_session


@dataclass
class Hub:
    """`models`: repository → revision → file → bytes. A gated repository needs the token. Of a `stalled` file, only the
    first half is sent."""

    models: dict[str, dict[str, dict[str, bytes]]]
    gated: dict[str, str] = field(default_factory=dict)  # repository → token
    stalled: set[str] = field(default_factory=set)
    heads: dict[str, str] = field(default_factory=dict)  # revision → commit, if not the one of its name
    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)  # path, authorization
    private: set[str] = field(default_factory=set)  # repositories that were created private
    commits: list[list[tuple[str, str]]] = field(default_factory=list)  # of each, what was done to which file
    objects: dict[str, bytes] = field(default_factory=dict)  # large files that were uploaded, by their sha256
    refused: str | None = None  # why every upload is refused
    halfway: Event = field(default_factory=Event)  # set when the first half of a stalled file is sent


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].strip("/")
            token = self.headers.get("authorization", "")
            hub.requests.append((path, token))
            repository = next((name for name in hub.models if f"{name}/" in f"{path}/"), None)
            if repository is None:
                return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            if repository in hub.gated and token != f"Bearer {hub.gated[repository]}":
                return self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
            revisions = hub.models[repository]
            revisions = {hub.heads.get(name, commit(name)): files for name, files in revisions.items()} | revisions
            rest = path.partition(repository)[2].strip("/").split("/", 2)
            kind, revision = rest[0], rest[1] if len(rest) > 1 else "main"
            files = revisions.get(revision)
            if files is None:
                return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            sha = revision if len(revision) == 40 else hub.heads.get(revision, commit(revision))
            if kind == "resolve":
                data = files[rest[2]]
                return self._send(200, data, {"ETag": f'"{sha1(data).hexdigest()}"', "X-Repo-Commit": sha})
            if kind == "tree":
                rows = [{"type": "file", "path": name, "size": len(data), "oid": sha1(data).hexdigest()}
                        for name, data in files.items()]  # fmt: skip
                return self._send(200, json.dumps(rows).encode())
            siblings = [{"rfilename": name} for name in files]
            about = {"id": repository, "sha": sha, "siblings": siblings, "private": repository in hub.private}
            return self._send(200, json.dumps(about).encode())

        def do_POST(self) -> None:
            path, body = self.path.partition("?")[0].strip("/"), self.rfile.read(int(self.headers["content-length"]))
            hub.requests.append((path, self.headers.get("authorization", "")))
            if hub.refused:
                return self._send(403, json.dumps({"error": hub.refused}).encode(), {"X-Error-Message": hub.refused})
            answer = _uploaded(hub, path, [json.loads(line) for line in body.splitlines()])
            self._send(200, json.dumps(answer).encode())

        def do_PUT(self) -> None:
            content = self._body()
            hub.objects[sha256(content).hexdigest()] = content
            self._send(200, b"")

        def _body(self) -> bytes:
            if "content-length" in self.headers:
                return self.rfile.read(int(self.headers["content-length"]))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command in ("POST", "PUT"):
                self.wfile.write(body)
            if self.command != "GET":
                return
            if self.path.partition("/resolve/")[2].partition("/")[2] not in hub.stalled:
                self.wfile.write(body)
                return
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            hub.halfway.set()
            self.connection.recv(1)  # until the client is gone

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _uploaded(hub: Hub, path: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The hub's answer to one of the requests of an upload."""
    if path == "api/repos/create":
        repository = "/".join(filter(None, (lines[0]["organization"], lines[0]["name"])))
        hub.models[repository] = {"main": {}}
        if lines[0].get("visibility") == "private":
            hub.private.add(repository)
        return {"url": f"{hub.url}/{repository}"}
    if path.endswith("/objects/batch"):
        objects = [
            one | {"actions": {"upload": {"href": f"{hub.url}/object/{one['oid']}"}}} for one in lines[0]["objects"]
        ]
        return {"objects": objects}
    if "/preupload/" in path:
        large = (".tar", ".parquet", ".duckdb", ".safetensors", ".png")
        return {
            "files": [
                {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(large) else "regular",
                 "shouldIgnore": False}
                for file in lines[0]["files"]
            ]
        }  # fmt: skip
    if "/commit/" in path:
        repository = next(name for name in hub.models if f"{name}/" in path)
        files = hub.models[repository]["main"]
        done = []
        for line in lines:
            change = line["value"]
            if line["key"] == "file":
                files[change["path"]] = base64.b64decode(change["content"])
            elif line["key"] == "lfsFile":
                files[change["path"]] = hub.objects[change["oid"]]
            elif line["key"] == "deletedFile":
                del files[change["path"]]
            done.append((line["key"], change.get("path", "")))
        hub.commits.append(done[1:])
        return {"commitUrl": f"{hub.url}/datasets/{repository}/commit/{'0' * 40}", "commitOid": "0" * 40}
    assert path == "api/validate-yaml", path
    return {"errors": [], "warnings": []}


def visit(hub: Hub, home: Path, patch: pytest.MonkeyPatch) -> None:
    """Makes this process use the hub and a cache below `home`, as HF_ENDPOINT and HF_HOME do in a new one."""
    close_session()  # its client keeps the proxies of the environment in which it was made
    patch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


def commit(revision: str) -> str:
    """The commit that a revision of any of the models names."""
    return sha1(revision.encode()).hexdigest()
