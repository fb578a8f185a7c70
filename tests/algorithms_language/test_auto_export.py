"""What the trainer makes of a trained adapter by itself: a checked GGUF beside its Modelfile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.trainer.exporting import export
from shared.algorithms.artefacts import Artefact


def test_an_adapter_becomes_a_gguf_and_what_cannot_be_made_is_told(
    candidate: Callable[[str], Artefact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)  # llama.cpp's quantiser is not there
    made, said = candidate("dpo"), list[str]()
    told = export(made, ("q8_0", "q4_k_m"), str(tmp_path / "exports"), said.append)
    folder = tmp_path / "exports" / made.id / "q8_0"
    [model] = folder.glob("*.gguf")
    assert f"FROM ./{model.name}" in (folder / "Modelfile").read_text()
    assert sorted(path.name for path in (tmp_path / "exports" / made.id).iterdir()) == ["q8_0"]
    first, second = told.split("; ", 1)
    assert first.startswith("exported to ")
    assert first.endswith(f"/{made.id}/q8_0")
    assert second.startswith("not exported as q4_k_m: q4_k_m needs llama.cpp's llama-quantize")
    assert any("generating from the file" in line for line in said)
    assert export(made, (), "", said.append) == ""
