"""A student comes from a folder, from the hub, or from a folder and a server."""

from pathlib import Path

import pytest

import decompose_distill as dd
from decompose_distill import CheckpointError, ConfigError
from decompose_distill.training.checkpoints import fetching
from tests.support.fake_server import Call, FakeServer, Reply, chat
from tests.support.samples import PROMPT, QUESTIONS


def test_a_server_is_asked_with_the_prompt_and_sampling_of_the_checkpoint(student: Path) -> None:
    calls: list[Call] = []

    def answer(call: Call) -> Reply:
        calls.append(call)
        return Reply(body=chat("1. How old is Ada?"))

    with FakeServer(answer) as server:
        backend = dd.load_backend("openai:student", base_url=server.url)
        decomposer = dd.Decomposer.from_pretrained(student, backend=backend)
        [split] = decomposer.decompose([QUESTIONS[0]])
    local = dd.Decomposer.from_pretrained(student)

    assert isinstance(split, dd.Decomposition)
    assert (decomposer.prompt, decomposer.sampling) == (local.prompt, local.sampling)
    [call] = calls
    assert [turn["content"] for turn in call.body["messages"]] == [
        message.content for message in PROMPT.render(QUESTIONS[0])
    ]


def test_no_weights_are_read_where_a_server_has_them(student: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "decompose_distill.json"
    manifest.write_bytes((student / manifest.name).read_bytes())
    backend = dd.load_backend("openai:student", base_url="http://localhost:1/v1")

    assert dd.Decomposer.from_pretrained(tmp_path, backend=backend).prompt == PROMPT
    with pytest.raises(CheckpointError, match="is missing"):
        dd.Decomposer.from_pretrained(tmp_path)


def test_options_of_local_weights_do_not_go_with_a_server(student: Path) -> None:
    backend = dd.load_backend("openai:student", base_url="http://localhost:1/v1")
    with pytest.raises(ConfigError, match="device goes with weights loaded here"):
        dd.Decomposer.from_pretrained(student, backend=backend, device="cpu")
    with pytest.raises(ConfigError, match="backend must be"):
        dd.Decomposer.from_pretrained(student, backend="openai:student")  # type: ignore[arg-type]


def test_a_hub_id_is_fetched_at_its_revision_and_loaded(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def download(name: str, *_: object, revision: str | None = None, **__: object) -> str:
        asked.append((name, revision))
        return str(student / "decompose_distill.json")

    def snapshot(name: str, **_: object) -> str:
        return str(student)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetching, "hf_hub_download", download)
    monkeypatch.setattr(fetching, "snapshot_download", snapshot)
    monkeypatch.setattr(fetching, "model_info", lambda name, **_: None)

    loaded = dd.Decomposer.from_pretrained("me/student", revision="v1", dtype="float32")

    assert loaded.prompt == PROMPT
    assert asked == [("me/student", "v1")]


def test_a_hub_out_of_reach_is_noticed_at_once_and_what_came_from_it_before_is_loaded(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(name: str, **_: object) -> None:
        raise ConnectionError

    def cached(name: str, *_: object, local_files_only: bool = False, **__: object) -> str:
        assert local_files_only
        return str(student)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetching, "model_info", unreachable)
    monkeypatch.setattr(fetching, "hf_hub_download", cached)
    monkeypatch.setattr(fetching, "snapshot_download", cached)

    assert dd.Decomposer.from_pretrained("me/student", dtype="float32").prompt == PROMPT


def test_what_is_neither_a_folder_nor_on_the_hub_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="me/none: no such folder of a student, and the hub"):
        dd.Decomposer.from_pretrained("me/none")
    with pytest.raises(CheckpointError, match=r"none: no such folder of a student$"):
        dd.Decomposer.from_pretrained("none")
    Path("runs").mkdir()
    with pytest.raises(CheckpointError, match=r"runs/none: no such folder of a student$"):
        dd.Decomposer.from_pretrained("runs/none")
    with pytest.raises(ConfigError, match="revision goes with a hub id"):
        dd.Decomposer.from_pretrained(tmp_path, revision="v1")
