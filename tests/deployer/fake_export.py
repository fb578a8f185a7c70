"""What stands in for `streamwheel export`: it registers a file without a model in it, or fails as told."""

import sys
from pathlib import Path

from shared.algorithms.export.ollama import Ollama


def main() -> int:
    """ARTEFACT --format ollama --ollama ADDRESS --name NAME --out FOLDER."""
    artefact = Path(sys.argv[1])
    flags = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    assert flags["--format"] == "ollama"
    if "1" not in (artefact / "config.json").read_text():
        print("the base model is missing")
        return 1
    file = Path(flags["--out"]) / "model.gguf"
    file.write_bytes(b"GGUF" + (artefact / "config.json").read_bytes())
    with Ollama(flags["--ollama"]) as server:
        server.register(flags["--name"], file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
