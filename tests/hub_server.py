"""A server that answers as the Hugging Face Hub does: what is asked for pulling and pushing models, and no more."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest
from huggingface_hub import constants

Files = dict[str, bytes]
NOBODY = "http://127.0.0.1:9"


@dataclass
class Hub:
    """What the server has and was asked.

    Attributes:
        commits: repository -> commit -> its files.
        main: repository -> the commit of its main branch.
        private: repositories that are.
        refusal: status and error code of what is not there.
        sizes: sizes that it claims instead of the true ones.
        ignored: what a repository's .gitignore keeps out.
        seen: method and path of all requests.
    """

    commits: dict[str, dict[str, Files]] = field(default_factory=dict)
    main: dict[str, str] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    refusal: tuple[int, str] = (404, "EntryNotFound")
    sizes: dict[str, int] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    endpoint: str = NOBODY

    def commit(self, repository: str, files: Files) -> str:
        """A further commit on the main branch, which has these files; returns its hash."""
        history = self.commits.setdefault(repository, {})
        commit = hashlib.sha1(f"{repository} {len(history)}".encode()).hexdigest()
        history[commit] = dict(files)
        self.main[repository] = commit
        return commit

    def find(self, repository: str, revision: str) -> tuple[str, Files] | None:
        commit = self.main.get(repository, "") if revision == "main" else revision
        files = self.commits.get(repository, {}).get(commit)
        return None if files is None else (commit, files)

    def downloads(self) -> list[str]:
        """Names of the files that were downloaded, in order."""
        return [entry.rpartition("/")[2] for entry in self.seen if entry.startswith("GET") and "/resolve/" in entry]


@contextlib.contextmanager
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run the server and let huggingface_hub talk to it."""
    hub = Hub()

    class Answers(_Answers):
        pass

    Answers.hub = hub
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    hub.endpoint = f"http://127.0.0.1:{listening.server_port}"
    point_to(hub.endpoint, monkeypatch)
    # Its own protocol of storage is beyond this server; without it, the library uses Git LFS.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `HF_ENDPOINT` does when huggingface_hub is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


class _Answers(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.hub.seen.append(f"HEAD {self.path}")
        self._resolve(body=False)

    def do_GET(self) -> None:
        self.hub.seen.append(f"GET {self.path}")
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", self.path.partition("?")[0])
        if found is None:
            self._resolve(body=True)
            return
        place = self.hub.find(found[1], unquote(found[2] or "main"))
        if place is None:
            self._refuse("RevisionNotFound" if found[1] in self.hub.commits else "RepoNotFound")
            return
        commit, files = place
        siblings = [{"rfilename": name, "size": self.hub.sizes.get(name, len(data))} for name, data in files.items()]
        self._send({"id": found[1], "sha": commit, "private": found[1] in self.hub.private, "siblings": siblings})

    def do_PUT(self) -> None:
        self.hub.seen.append(f"PUT {self.path}")
        data = self._body()
        self.hub.large[hashlib.sha256(data).hexdigest()] = data
        self._send({})

    def do_POST(self) -> None:
        self.hub.seen.append(f"POST {self.path}")
        body = self._body()
        if self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self._send({"warnings": []})
        elif "/preupload/" in self.path:
            self._send({"files": [self._upload_mode(file["path"]) for file in json.loads(body)["files"]]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            action = {"upload": {"href": f"{self.hub.endpoint}/large"}}
            self._send({"transfer": "basic", "objects": [{**entry, "actions": action} for entry in objects]})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._refuse("")

    def _create(self, wish: dict[str, Any]) -> None:
        repository = f"{wish['organization']}/{wish['name']}"
        if repository in self.hub.commits:
            self._send({"url": f"{self.hub.endpoint}/{repository}"}, 409)
            return
        self.hub.commit(repository, {".gitattributes": b""})
        if wish.get("visibility") == "private":
            self.hub.private.add(repository)
        self._send({"url": f"{self.hub.endpoint}/{repository}"})

    def _upload_mode(self, name: str) -> dict[str, Any]:
        mode = "lfs" if name.endswith(".safetensors") else "regular"
        return {"path": name, "uploadMode": mode, "shouldIgnore": name in self.hub.ignored}

    def _commit(self, repository: str, operations: list[dict[str, Any]]) -> None:
        _, files = self.hub.find(repository, "main") or ("", {})
        files = dict(files)
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        commit = self.hub.commit(repository, files)
        self._send({"commitOid": commit, "commitUrl": f"{self.hub.endpoint}/{repository}/commit/{commit}"})

    def _resolve(self, *, body: bool) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path.partition("?")[0])
        place = found and self.hub.find(found[1], unquote(found[2]))
        if not found or not place or found[3] not in place[1]:
            self._refuse(self.hub.refusal[1], self.hub.refusal[0], place[0] if place else "")
            return
        data = place[1][found[3]]
        self.send_response(200)
        self.send_header("X-Repo-Commit", place[0])
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _refuse(self, code: str, status: int = 404, commit: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, value: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
