"""Which quantisations there are, and who can make each."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from shared.algorithms.export.errors import NotExportable

#: llama.cpp's own quantiser, on PATH where llama.cpp is installed.
QUANTISER = "llama-quantize"
#: Seconds that quantising may take: a 7B model takes two minutes on eight cores.
LONGEST = 3600.0


@dataclass(frozen=True)
class Quantisation:
    """A kind of GGUF. `own` is gguf's name of the type if the gguf package can make it, else None."""

    name: str
    own: str | None
    file_type: int
    """general.file_type, as llama.cpp numbers them."""
    ollama: bool = False
    """Whether Ollama's /api/create quantises to it."""


QUANTISATIONS = {
    each.name: each
    for each in (
        Quantisation("f32", "F32", 0),
        Quantisation("f16", "F16", 1),
        Quantisation("q8_0", "Q8_0", 7, ollama=True),
        Quantisation("q5_0", "Q5_0", 8),
        Quantisation("q4_0", "Q4_0", 2),
        Quantisation("q3_k_m", None, 12),
        Quantisation("q4_k_m", None, 15, ollama=True),
        Quantisation("q5_k_m", None, 17),
    )
}


def quantisation(name: str) -> Quantisation:
    """Find one by name. Raises NotExportable listing all."""
    if name.lower() not in QUANTISATIONS:
        raise NotExportable(f"quantisation {name!r} is not one of {', '.join(QUANTISATIONS)}")
    return QUANTISATIONS[name.lower()]


def require_quantiser(wanted: Quantisation) -> str:
    """Path of llama.cpp's quantiser. Raises NotExportable that says what can be done without it."""
    found = shutil.which(QUANTISER)
    if found is None:
        by_ollama = (
            "let Ollama quantise it (--format ollama --quantisation q4_k_m), " if wanted.ollama else ""
        )
        own = ", ".join(name for name, each in QUANTISATIONS.items() if each.own)
        raise NotExportable(
            f"{wanted.name} needs llama.cpp's {QUANTISER}, which is not on PATH: install llama.cpp,"
            f" {by_ollama}or choose one of {own}, which are made here"
        )
    return found


def quantise(source: Path, target: Path, wanted: Quantisation) -> None:
    """Have llama.cpp quantise a GGUF of 16 or 32 bits. Raises NotExportable with its last words."""
    command = [require_quantiser(wanted), str(source), str(target), wanted.name.upper()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired as error:
        raise NotExportable(f"{QUANTISER} took more than {LONGEST:.0f} s") from error
    if done.returncode or not target.is_file():
        words = " ".join((done.stderr or done.stdout).split())[-300:]
        raise NotExportable(f"{QUANTISER} failed with status {done.returncode}: {words}")
