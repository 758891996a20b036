"""What cannot be pushed is told before training, and a failed push loses nothing."""

import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, RepoUrl, constants
from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled

from decompose_distill import BackendError, BackendUnavailable, ConfigError
from decompose_distill.training.checkpoints.hub_upload import Hub, check_push, push


class FakeHub:
    """Keeps what it is given; `failing` names the method that raises `error`."""

    def __init__(self, failing: str = "", error: Exception | None = None, role: str = "write"):
        self.failing, self.error, self.role = failing, error, role
        self.made: dict[str, bool] = {}
        self.files: dict[str, list[str]] = {}

    def whoami(self) -> dict[str, Any]:
        self._fail("whoami")
        return {"name": "me", "auth": {"accessToken": {"role": self.role}}}

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> RepoUrl:
        self._fail("create_repo")
        assert exist_ok
        full = repo_id if "/" in repo_id else f"me/{repo_id}"
        self.made[full] = private
        return RepoUrl(f"https://huggingface.co/{full}")

    def upload_folder(self, *, repo_id: str, folder_path: str | Path, commit_message: str) -> None:
        self._fail("upload_folder")
        assert commit_message
        self.files[repo_id] = [path.name for path in Path(folder_path).iterdir()]

    def _fail(self, name: str) -> None:
        if name == self.failing and self.error:
            raise self.error


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    place = tmp_path / "my student"
    place.mkdir()
    (place / "model.safetensors").touch()
    return place


def test_the_stand_in_and_the_real_client_are_hubs() -> None:
    hubs: list[Hub] = [FakeHub(), HfApi()]

    assert len(hubs) == 2


@pytest.mark.parametrize("repo_id", ["me/student", "student"])
def test_a_checkpoint_is_pushed_whole_to_a_private_repository(
    repo_id: str, checkpoint: Path
) -> None:
    hub = FakeHub()
    check_push(repo_id, hub)

    assert push(checkpoint, repo_id, hub) == "https://huggingface.co/me/student"
    assert hub.made == {"me/student": True}
    assert hub.files == {"me/student": ["model.safetensors"]}


@pytest.mark.parametrize("repo_id", ["", "a/b/c", "me/my student", "-me/student", "me/x--y"])
def test_a_malformed_repo_id_is_refused_before_the_hub_is_asked(repo_id: str) -> None:
    hub = FakeHub("whoami", AssertionError("asked"))

    with pytest.raises(ConfigError, match="repo id must be like 'me/student'"):
        check_push(repo_id, hub)


def test_a_missing_token_says_how_to_log_in() -> None:
    hub = FakeHub("whoami", LocalTokenNotFoundError("no token found"))

    with pytest.raises(ConfigError, match=r"run `hf auth login`, or set HF_TOKEN"):
        check_push("me/student", hub)


def test_a_token_that_may_only_read_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"it may only read: run `hf auth login`"):
        check_push("me/student", FakeHub(role="read"))


def test_offline_mode_is_named_as_the_cause() -> None:
    hub = FakeHub("whoami", OfflineModeIsEnabled("offline"))

    with pytest.raises(ConfigError, match="while HF_HUB_OFFLINE is set"):
        check_push("me/student", hub)


def test_a_hub_out_of_reach_may_be_there_later() -> None:
    hub = FakeHub("whoami", ConnectionError("no route"))

    with pytest.raises(BackendUnavailable, match=r"no route\. Try again later"):
        check_push("me/student", hub)


@pytest.mark.parametrize("failing", ["create_repo", "upload_folder"])
def test_a_failed_push_says_where_the_checkpoint_is_and_how_to_push_it(
    failing: str, checkpoint: Path
) -> None:
    with pytest.raises(BackendError) as caught:
        push(checkpoint, "me/student", FakeHub(failing, ConnectionError("lost\nin  transit")))

    message = str(pickle.loads(pickle.dumps(caught.value)))
    assert f"the checkpoint is safe in {checkpoint}" in message
    assert "lost in transit" in message
    assert message.endswith(f"hf upload me/student '{checkpoint}' . --private")
    assert (checkpoint / "model.safetensors").exists()


class _Account(BaseHTTPRequestHandler):
    """The two addresses of the hub that need no files: one token is right."""

    def do_GET(self) -> None:
        self._answer({"name": "me", "auth": {"accessToken": {"role": "write"}}})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self._answer({"url": f"http://{self.headers['host']}/{asked['organization']}/student"})

    def _answer(self, body: dict[str, Any]) -> None:
        right = self.headers["authorization"] == "Bearer hf_right"
        known = self.path in ("/api/whoami-v2", "/api/repos/create")
        data = json.dumps(body if right else {"error": "Invalid credentials"}).encode()
        self.send_response((200 if known else 404) if right else 401)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def _hub_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Account) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_real_client_agrees_with_the_stand_in(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    uploaded: list[str] = []

    class Account(HfApi):
        def upload_folder(self, *, repo_id: str, **_: object) -> None:  # type: ignore[override]
            uploaded.append(repo_id)

    with _hub_server() as endpoint:
        right = Account(endpoint=endpoint, token="hf_right")
        wrong = Account(endpoint=endpoint, token="hf_wrong")
        check_push("me/student", right)

        assert push(checkpoint, "me/student", right) == f"{endpoint}/me/student"
        assert uploaded == ["me/student"]
        with pytest.raises(ConfigError, match=r"no valid token .*hf auth login"):
            check_push("me/student", wrong)
        with pytest.raises(
            BackendError, match=r"is safe in .*401 Unauthorized.*hf upload me/student"
        ):
            push(checkpoint, "me/student", wrong)
    with pytest.raises(BackendUnavailable, match="cannot be asked"):
        check_push("me/student", right)
