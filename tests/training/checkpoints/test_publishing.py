"""A published student: its card says what it is, and it reaches a hub or says why not."""

import json
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi, ModelCard, RepoUrl, constants
from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled
from hypothesis import given, settings
from hypothesis import strategies as st

import decompose_distill as dd
from decompose_distill import BackendError, BackendUnavailable, ConfigError, Sampling, prompts
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.training.checkpoints import publishing as card
from decompose_distill.training.checkpoints.checkpoint import Manifest
from decompose_distill.training.checkpoints.publishing import (
    Hub,
    base_licence,
    check_push,
    model_card,
    push,
)

MANIFEST = Manifest(
    role="decomposer",
    target="subquestions",
    prompt=prompts.decompose(),
    sampling=Sampling(),
    base_model="HuggingFaceTB/SmolLM2-135M-Instruct",
    data={"sha256": "ab" * 32, "kept": 249, "dropped": {"wrong answer": 85, "no solution": 1}},
    config={"epochs": 2, "learning_rate": 1e-4},
    figures={"steps": 64, "first_loss": 3.21234567, "last_loss": 0.25, "seconds": 512.0},
    versions={"python": "3.11.7", "torch": "2.13.0"},
)


def test_the_front_matter_names_base_licence_and_task() -> None:
    data = ModelCard(model_card(MANIFEST, licence="apache-2.0")).data

    assert data.to_dict() == {
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["decompose-distill", "question-decomposition"],
    }


def test_everything_the_manifest_records_is_on_the_card() -> None:
    text = model_card(MANIFEST, licence=None)

    for row in (
        "| kept | 249 |",
        "| dropped: wrong answer | 85 |",
        "| dropped: no solution | 1 |",
        f"| sha256 | {'ab' * 32} |",
        "| learning_rate | 0.0001 |",
        "| first_loss | 3.21235 |",
        "| seconds | 512 |",
        "| torch | 2.13.0 |",
        prompts.decompose().system,
        "arxiv.org/abs/2402.15000",
    ):
        assert row in text


def test_keys_nobody_foresaw_are_rendered_too() -> None:
    figures = {"held_out": {"loss": {"best": 0.5}, "by_epoch": [{"loss": 0.75}]}, "stopped": None}
    text = model_card(replace(MANIFEST, figures=figures, data={"dropped": {}}), licence=None)

    assert "| held_out: loss: best | 0.5 |" in text
    assert "| held_out: by_epoch: 1: loss | 0.75 |" in text
    assert "| stopped | none |" in text
    assert "| dropped | none |" in text


@pytest.mark.parametrize(
    ("licence", "sentence"),
    [
        (None, "The licence of the base model is not known: look it up"),
        ("other", "The base model has a licence of its own: read it"),
        ("mit", "The base model's licence is mit"),
    ],
)
def test_the_card_says_what_is_known_of_the_licence(licence: str | None, sentence: str) -> None:
    text = model_card(MANIFEST, licence=licence)

    assert sentence in text
    assert ModelCard(text).data.license == licence


@pytest.mark.parametrize("name", ["/home/ada/secret/base", "./base", "../base", "models/base.gguf"])
def test_a_local_base_is_no_base_model_of_the_hub_and_its_folder_stays_private(name: str) -> None:
    text = model_card(replace(MANIFEST, base_model=name), licence=None)

    assert ModelCard(text).data.base_model is None
    assert f"a local model, {Path(name).name}," in text
    assert "secret" not in text


def test_a_directory_that_looks_like_a_hub_id_is_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert (
        ModelCard(model_card(replace(MANIFEST, base_model="runs/base"), licence=None)).data.get(
            "base_model"
        )
        is None
    )


def test_backticks_in_a_prompt_do_not_end_its_block() -> None:
    prompt = prompts.Prompt("Write\n````\n1. like this\n````", "{question}")
    text = model_card(replace(MANIFEST, prompt=prompt), licence=None)

    assert f"`````text\n{prompt.system}\n`````" in text
    assert "```text\n{question}\n```" in text


def test_the_card_says_what_the_placeholders_stand_for() -> None:
    prompt = prompts.Prompt("", "{context}|{question}|{subquestions}")
    question = dd.Question("QUESTION", context="TEXT")
    steps = (dd.Subquestion("FIRST"), dd.Subquestion("SECOND"))
    context, _, subquestions = prompt.render(question, steps)[0].content.split("|")
    text = model_card(replace(MANIFEST, prompt=prompt), licence=None).replace(r"\n", "\n")

    assert f"`{{context}}` for `{context}`" in text
    assert f"`{{subquestions}}` for `{subquestions}`" in text


def test_a_prompt_without_system_turn_says_so() -> None:
    text = model_card(replace(MANIFEST, prompt=prompts.Prompt("", "{question}")), licence=None)

    assert "System turn:\n\nNone." in text


ODD = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=40)


@settings(max_examples=30)
@given(licence=ODD, name=ODD, value=ODD)
def test_odd_values_break_neither_the_front_matter_nor_a_table(
    licence: str, name: str, value: str
) -> None:
    text = model_card(replace(MANIFEST, data={name: value}), licence=licence)
    [_, table] = text.split("## Data\n\n")
    lines = table.split("\n\n## Training")[0].split("\n")

    assert ModelCard(text).data.license == licence
    assert len(lines) == 3
    assert all(line.count("|") == 3 for line in lines)


@pytest.mark.parametrize("role", ["decomposer", "solver"])
def test_the_code_on_the_card_runs(
    role: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    student = ScriptedBackend(lambda text: "1. How old is Ada?\nThe answer is: Ada")
    for kind in (dd.Decomposer, dd.Solver):
        monkeypatch.setattr(kind, "from_pretrained", lambda place, kind=kind: kind(student))
    text = model_card(replace(MANIFEST, role=role), licence=None)
    exec(text.split("```python\n")[1].split("\n```")[0], {})

    assert "How old is Ada?" in capsys.readouterr().out


def test_the_licence_is_read_from_the_card_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")

    assert base_licence(str(tmp_path)) == "apache-2.0"


def test_a_students_own_card_hands_its_licence_on(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(model_card(MANIFEST, licence="mit"))

    assert base_licence(str(tmp_path)) == "mit"


@pytest.mark.parametrize(
    "readme",
    [
        "# Base, without front matter",
        "---\nlicense: [mit, apache-2.0]\n---\n",
        "---\nlicense: unknown\n---\n",
        "---\nlicense: ''\n---\n",
        "---\nlicense: {\n---\n",
        "---\n- a list\n---\n",
        "\udcff",
    ],
)
def test_a_card_that_names_no_licence_gives_none(readme: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(readme, encoding="utf-8", errors="surrogateescape")

    assert base_licence(str(tmp_path)) is None


def test_a_directory_without_card_and_a_file_give_none(tmp_path: Path) -> None:
    (tmp_path / "base.gguf").touch()

    assert base_licence(str(tmp_path)) is None
    assert base_licence(str(tmp_path / "base.gguf")) is None


@pytest.mark.parametrize("licence", ["apache-2.0", None])
def test_the_hub_is_asked_for_the_licence_of_its_models(
    licence: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_in(repo_id: str, *, timeout: float) -> SimpleNamespace:
        assert (repo_id, timeout <= 10) == ("org/base", True)
        return SimpleNamespace(card_data=licence and SimpleNamespace(license=licence))

    monkeypatch.setattr(card, "model_info", stand_in)

    assert base_licence("org/base") == licence


def test_no_hub_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert base_licence("org/base") is None


def test_a_manifest_read_back_gives_the_same_card() -> None:
    again = replace(
        MANIFEST,
        **{
            name: json.loads(json.dumps(getattr(MANIFEST, name)))
            for name in ("data", "config", "figures", "versions")
        },
    )

    assert model_card(again, licence=None) == model_card(MANIFEST, licence=None)


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
