"""Candidate in, files out: what `streamwheel export` does, and what it says of it."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.algorithms.artefacts import Artefact
from shared.algorithms.export.errors import NotExportable
from shared.algorithms.export.modelfile import modelfile
from shared.algorithms.export.ollama import Ollama
from shared.algorithms.export.quantisation import (
    QUANTISATIONS,
    Quantisation,
    quantisation,
    quantise,
    require_quantiser,
)

Say = Callable[[str], None]
MODELFILE = "Modelfile"


def export_gguf(
    artefact: Artefact, out: Path, kind: str, base: str | None, check: bool, say: Say
) -> dict[str, Any]:
    """Write `<id's first 12>-<kind>.gguf` into `out`, and compare what it writes with the merged model.

    Raises NotExportable, MissingModel.
    """
    from shared.algorithms.export.gguf_file import write_gguf
    from shared.algorithms.export.merging import whole_model

    wanted = quantisation(kind)
    if wanted.own is None:
        require_quantiser(wanted)
    name = f"{artefact.manifest.application}-{artefact.id[:12]}"
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{name}-{wanted.name}.gguf"
    with tempfile.TemporaryDirectory(dir=out, prefix=".exporting-") as folder:
        scratch = Path(folder)
        model = whole_model(artefact, base, scratch)
        made = scratch / "made.gguf"
        if wanted.own is None:
            say("writing 16 bits for llama.cpp to quantise")
            half = scratch / "half.gguf"
            write_gguf(model, half, QUANTISATIONS["f16"], name)
            quantise(half, made, wanted)
        else:
            say(f"writing {wanted.name}")
            write_gguf(model, made, wanted, name)
        report = {
            "format": "gguf",
            "quantisation": wanted.name,
            "file": str(target),
            "bytes": made.stat().st_size,
        }
        if check:
            say("generating from the file, and from the model it was made of")
            report["greedy"] = _checked(model, made)
        made.replace(target)
    return report


def export_modelfile(
    artefact: Artefact, out: Path, kind: str, base: str | None, check: bool, say: Say
) -> dict[str, Any]:
    """Write a GGUF and the Modelfile that `ollama create` takes beside it. Raises as `export_gguf`."""
    report = export_gguf(artefact, out, kind, base, check, say)
    file = out / MODELFILE
    file.write_text(modelfile(f"./{Path(report['file']).name}"))
    return report | {"format": "modelfile", "modelfile": str(file)}


def export_ollama(
    artefact: Artefact,
    out: Path,
    kind: str,
    base: str | None,
    check: bool,
    say: Say,
    address: str,
    name: str | None = None,
) -> dict[str, Any]:
    """Write a GGUF and make a model of it on an Ollama server, which quantises where the gguf package cannot.

    Raises as `export_gguf`, and NotExportable with what the server said.
    """
    wanted = quantisation(kind)
    by_ollama = wanted.own is None and shutil.which("llama-quantize") is None
    if by_ollama and not wanted.ollama:
        require_quantiser(wanted)
    report = export_gguf(artefact, out, "f16" if by_ollama else kind, base, check, say)
    model = name or f"streamwheel-{artefact.manifest.application}:{artefact.id[:12]}"
    say(f"registering {model} with Ollama at {address}")
    with Ollama(address) as server:
        digest = server.register(model, Path(report["file"]), wanted.name if by_ollama else None)
        if server.show(model) is None:
            raise NotExportable(f"Ollama at {address}: {model} is not there after it was created")
    return report | {
        "format": "ollama",
        "quantisation": wanted.name,
        "quantised_by": _maker(wanted, by_ollama),
        "model": model,
        "blob": digest,
    }


def export_onnx(artefact: Artefact, out: Path) -> dict[str, Any]:
    """Copy the ONNX files of a verified candidate. Raises NotExportable if it has none."""
    names = [name for name in sorted(artefact.manifest.files) if name.endswith(".onnx")]
    if not names:
        raise NotExportable(
            f"{artefact.folder}: candidates of {artefact.manifest.algorithm} hold no ONNX;"
            " those of cql and dqn do"
        )
    out.mkdir(parents=True, exist_ok=True)
    copied = []
    for name in names:
        target = out / f"{artefact.manifest.application}-{artefact.id[:12]}-{Path(name).name}"
        shutil.copyfile(artefact.file(name), target)
        copied.append(str(target))
    return {"format": "onnx", "files": copied, "inputs": artefact.manifest.inputs}


def _maker(wanted: Quantisation, by_ollama: bool) -> str:
    if by_ollama:
        return "ollama"
    return "gguf" if wanted.own else "llama.cpp"


def _checked(model: Path, file: Path) -> dict[str, Any]:
    from shared.algorithms.export.checking import parity

    return parity(model, file).document()
