"""One training as a process: `python -m services.trainer.training ORDERS.json`.

It reads the archive, trains, keeps the artefact, and tells on standard output how far it is and how it went.
It ends when its standard input does: with the trainer, however that ends.
"""

import os
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from services.trainer.exporting import export
from services.trainer.interactions import read_interactions
from services.trainer.orders import SAID, Orders, Outcome, Progress, read_orders, to_line
from shared.algorithms import artefacts
from shared.algorithms.artefacts import Artefact
from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.language.folders import model_folder
from shared.algorithms.manifest import MANIFEST
from shared.algorithms.parameters import from_document
from shared.algorithms.reading.archive import tables, wants_interactions
from shared.algorithms.registry import Algorithm, MissingLibrary, for_application
from shared.applications.registry import load
from shared.archive.archive import Archive
from shared.archive.reading import read_rewards
from shared.broker.settings import BrokerSettings

NICENESS = 10
"""Decisions and learning come first."""
LEAST_STEP = 0.001
"""Smaller steps of progress are not told."""


def train(orders: Orders, tell: TextIO) -> Outcome:
    """Do as ordered. Raises whatever the training raises, but for refusals, which are an outcome."""
    application = load([Path(orders.applications)] if orders.applications else [])[orders.application]
    algorithm = for_application(orders.application, orders.algorithm)
    told = Progress(-1.0)

    def progress(share: float, doing: str) -> None:
        nonlocal told
        if share - told.share >= LEAST_STEP or doing != told.message:
            told = Progress(min(max(share, 0.0), 1.0), doing)
            print(to_line(told), file=tell, flush=True)

    progress(0.0, "reading the archive")
    rewards, sources = read_rewards(
        Archive(orders.archive), orders.application, orders.spans, orders.decided_from
    )
    interactions = None
    if wants_interactions(orders.application):
        progress(0.0, "reading what was said")
        interactions, ranges = read_interactions(BrokerSettings(), application.settings.reward, rewards)
        sources += ranges
    with TemporaryDirectory(prefix="streamwheel-training-") as scratch:
        try:
            previous = _fetch(orders.previous, Path(scratch)) if orders.previous else None
            found = tables(application, rewards, interactions)
            data = Dataset(orders.application, found, sources, application.actions, previous)
            parameters = from_document(algorithm.declaration.Parameters, orders.parameters)
            root = _local(orders.artefacts) or Path(scratch) / "made"
            if previous is None:  # which brings models of its own
                _find_models(algorithm, parameters)
            made = artefacts.train(algorithm, data, parameters, orders.seed, root, progress)
        except NotTrainable as error:
            return Outcome(refused=str(error))
        except MissingLibrary as error:
            return Outcome(failed=str(error))
        address = _keep(made, orders.artefacts)
        said = export(made, orders.export, orders.exports, lambda doing: progress(1.0, doing))
    return Outcome(
        candidate_id=made.id,
        artefact=address,
        rows=rewards.height,
        metrics=made.manifest.metrics,
        message=said,
    )


def _find_models(algorithm: Algorithm, parameters: Any) -> None:
    """Refuse before the libraries are imported, which takes many seconds. Raises NotTrainable."""
    for name in getattr(algorithm.declaration, "MODELS", ()):
        model_folder(getattr(parameters, name), name)


def _local(address: str) -> Path | None:
    """The folder of an address, None for one that is not on this machine."""
    files, root = fsspec.core.url_to_fs(address)
    return Path(root) if isinstance(files, LocalFileSystem) else None


def _keep(made: Artefact, address: str) -> str:
    """The artefact's address; copies it there unless it lies there already. The manifest comes last."""
    if _local(address):
        return str(made.folder)
    files, root = fsspec.core.url_to_fs(address)
    target = f"{root}/{made.id}"
    for name in [*sorted(made.manifest.files), MANIFEST]:
        files.put_file(str(made.folder / name), f"{target}/{name}")
    return str(files.unstrip_protocol(target))


def _fetch(address: str, scratch: Path) -> Path:
    """A folder with the artefact of an address, which keeps its name: its content's hash."""
    if folder := _local(address):
        return folder
    files, root = fsspec.core.url_to_fs(address)
    target = scratch / "previous" / str(root).rpartition("/")[2]
    for name in files.find(root):
        path = target / str(name).removeprefix(root).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        files.get_file(name, str(path))
    return target


def _end_with_input() -> None:
    """End this process once nobody holds the other end of its standard input."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> int:
    """Train and say how it went; any exception is a crash, for the trainer to judge."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    os.nice(NICENESS)
    # What libraries print must not be taken for what this process says.
    with os.fdopen(os.dup(1), "w") as tell:
        os.dup2(2, 1)
        print(to_line(train(read_orders(Path(sys.argv[1])), tell)), file=tell, flush=True)
    return SAID


if __name__ == "__main__":
    sys.exit(main())
