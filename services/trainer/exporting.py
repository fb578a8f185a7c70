"""GGUF files of a candidate that is a language model, made as soon as it is trained."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec

from shared.algorithms.artefacts import Artefact
from shared.algorithms.export.errors import NotExportable
from shared.algorithms.export.exporting import export_modelfile
from shared.algorithms.language.folders import MissingModel


def export(made: Artefact, kinds: Sequence[str], address: str, say: Callable[[str], None]) -> str:
    """Write a checked GGUF of each kind, with its Modelfile, to `<address>/<id>/<kind>`; say how it went.

    What cannot be exported is told, and takes nothing from the candidate. Raises OSError.
    """
    if not kinds:
        return ""
    files, root = fsspec.core.url_to_fs(address)
    told = []
    for kind in kinds:
        with TemporaryDirectory(prefix="streamwheel-export-") as scratch:
            try:
                export_modelfile(made, Path(scratch), kind, None, True, say)
            except (NotExportable, MissingModel) as error:
                told.append(f"not exported as {kind}: {error}")
                continue
            except ModuleNotFoundError as error:
                told.append(f"not exported as {kind}: {error.name} is not installed")
                continue
            target = f"{root}/{made.id}/{kind}"
            files.makedirs(target, exist_ok=True)
            for path in sorted(Path(scratch).iterdir()):
                files.put_file(str(path), f"{target}/{path.name}")
        told.append(f"exported to {files.unstrip_protocol(target)}")
    return "; ".join(told)
