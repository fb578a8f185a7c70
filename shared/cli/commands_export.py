"""export: make of a candidate what other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shared.cli.output import BAD_USAGE, FAILED, answer, fail, say

if TYPE_CHECKING:
    from shared.algorithms.artefacts import Artefact

Format = Literal["gguf", "modelfile", "ollama", "onnx"]
OUT = Path("exports")


def export(
    candidate: Annotated[Path, typer.Argument(help="Folder of a candidate.", file_okay=False)],
    form: Annotated[
        Format, typer.Option("--format", help="gguf, modelfile (GGUF and Modelfile), ollama, onnx.")
    ],
    out: Annotated[Path, typer.Option(help="Folder that files are written to.", file_okay=False)] = OUT,
    quantisation: Annotated[
        str, typer.Option(help="f32, f16, q8_0, q5_0, q4_0 are made here, q3_k_m, q4_k_m, q5_k_m by others.")
    ] = "q8_0",
    base: Annotated[
        str | None, typer.Option(help="Folder of the base model of an adapter, if it moved.")
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Load the file and compare what it generates with the model it was made of.")
    ] = True,
    ollama: Annotated[str | None, typer.Option(help="Address of Ollama; OLLAMA_HOST by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model in Ollama.")] = None,
) -> None:
    """Export a candidate, verified first: merge, convert, quantise, check, register.

    Prints one JSON object. Exit status 1 if it cannot be exported, 2 for a wrong folder or flag.
    """
    from shared.algorithms.artefacts import ArtefactError, load
    from shared.algorithms.export.errors import NotExportable
    from shared.algorithms.export.quantisation import quantisation as known
    from shared.algorithms.language.folders import MissingModel

    try:
        artefact = load(candidate)
        known(quantisation)
    except (ArtefactError, NotExportable) as error:
        fail(str(error), BAD_USAGE)
    try:
        report = _export(artefact, form, out, quantisation, base, check, ollama, name)
    except (NotExportable, MissingModel) as error:
        fail(str(error), FAILED)
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed: make install-training installs it", FAILED)
    answer({"candidate": artefact.id, **report})


def _export(
    artefact: Artefact,
    form: Format,
    out: Path,
    kind: str,
    base: str | None,
    check: bool,
    ollama: str | None,
    name: str | None,
) -> dict[str, Any]:
    from shared.algorithms.export import exporting
    from shared.algorithms.export.ollama import server_address

    if form == "onnx":
        return exporting.export_onnx(artefact, out)
    if form == "gguf":
        return exporting.export_gguf(artefact, out, kind, base, check, say)
    if form == "modelfile":
        return exporting.export_modelfile(artefact, out, kind, base, check, say)
    address = server_address(ollama)
    return exporting.export_ollama(artefact, out, kind, base, check, say, address, name)


def register(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command()(export)
