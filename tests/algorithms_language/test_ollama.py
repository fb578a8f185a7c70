"""Registration with Ollama, against a small server always and a real one where OLLAMA_HOST names it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.export.errors import NotExportable
from shared.algorithms.export.exporting import export_ollama
from shared.algorithms.export.ollama import Ollama, server_address
from tests.algorithms_language.ollama_server import State, serving


def quiet(what: str) -> None:
    """Nobody listens."""


@pytest.fixture
def server() -> Iterator[tuple[str, State]]:
    with serving() as found:
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "model.gguf"
    made.write_bytes(b"GGUF" + bytes(3 << 20))
    return made


def test_a_file_is_uploaded_once_and_becomes_a_model(server: tuple[str, State], file: Path) -> None:
    address, state = server
    with Ollama(address) as ollama:
        digest = ollama.register("widgets:1", file)
        assert state.blobs[digest] == file.read_bytes()
        assert ollama.register("widgets:2", file) == digest
        assert [method for method, path in state.requests if "/blobs/" in path] == ["HEAD", "POST", "HEAD"]
        shown = ollama.show("widgets:1")
        assert shown is not None
        assert shown["asked"] == {
            "model": "widgets:1",
            "files": {"model.gguf": digest},
            "parameters": {"temperature": 0.1, "num_ctx": 2048},
            "template": "{{ .Prompt }}\n",
            "stream": False,
        }
        assert ollama.delete("widgets:1")
        assert not ollama.delete("widgets:1")
        assert ollama.show("widgets:1") is None


def test_what_the_server_refuses_is_told_in_its_words(server: tuple[str, State], tmp_path: Path) -> None:
    file = tmp_path / "no.gguf"
    file.write_bytes(b"nothing")
    with Ollama(server[0]) as ollama, pytest.raises(NotExportable, match=r"400 .*invalid file magic"):
        ollama.register("widgets:1", file)
    with Ollama("http://127.0.0.1:9") as nobody, pytest.raises(NotExportable, match="ConnectError"):
        nobody.show("widgets:1")


def test_addresses_as_ollama_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    with pytest.raises(NotExportable, match="set OLLAMA_HOST"):
        server_address()
    monkeypatch.setenv("OLLAMA_HOST", "models.example")
    assert server_address() == "http://models.example:11434"
    assert server_address("127.0.0.1:9") == "http://127.0.0.1:9"
    assert server_address("https://models.example/") == "https://models.example/"
    with pytest.raises(NotExportable, match="no HTTP address"):
        server_address("ftp://models.example")


def test_a_candidate_becomes_a_model(
    candidate: Callable[[str], Artefact],
    server: tuple[str, State],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, state = server
    monkeypatch.setenv("PATH", str(tmp_path))
    made = candidate("dpo")
    report = export_ollama(made, tmp_path, "q8_0", None, False, quiet, address)
    assert report["model"] == f"streamwheel-dashboard_widgets:{made.id[:12]}"
    assert report["quantised_by"] == "gguf"
    assert state.models[report["model"]]["asked"]["files"] == {Path(report["file"]).name: report["blob"]}
    report = export_ollama(made, tmp_path, "q4_k_m", None, False, quiet, address, "widgets")
    assert report["quantised_by"] == "ollama"
    assert state.models["widgets"]["asked"]["quantize"] == "q4_k_m"
    with pytest.raises(NotExportable, match="q5_k_m needs"):
        export_ollama(made, tmp_path, "q5_k_m", None, False, quiet, address)


@pytest.mark.skipif("OLLAMA_HOST" not in os.environ, reason="OLLAMA_HOST names no server")
def test_a_real_server_answers_with_the_model(candidate: Callable[[str], Artefact], tmp_path: Path) -> None:
    address = server_address()
    name = "streamwheel-test:tiny"
    export_ollama(candidate("dpo"), tmp_path, "q8_0", None, False, quiet, address, name)
    with Ollama(address) as ollama:
        assert ollama.generate(name, "Once upon a time", 8)
        assert ollama.delete(name)
