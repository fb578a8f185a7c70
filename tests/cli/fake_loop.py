"""A supervisor over fake services: `python -m tests.cli.fake_loop STATE PORT_BASE BROKER [NAME=MODE …]`."""

import sys
from pathlib import Path

from shared.cli.addresses import SERVICES, Addresses
from shared.cli.children import Spec
from shared.cli.output import answer, say
from shared.cli.state import StateFolder
from shared.cli.supervisor import StartFailed, Supervisor

if __name__ == "__main__":
    addresses = Addresses(int(sys.argv[2]), sys.argv[3])
    folder = StateFolder(Path(sys.argv[1]))
    modes = dict.fromkeys(SERVICES, "ready") | dict(word.split("=") for word in sys.argv[4:])
    specs = [
        Spec(
            name,
            (sys.executable, "-m", "tests.cli.fake_service", str(addresses.port(name)), mode),
            url=addresses.url(name),
        )
        for name, mode in modes.items()
    ]
    with folder.locked():
        try:
            supervisor = Supervisor(specs, addresses, folder, say, patience_s=1.0)
            supervisor.run(lambda: answer(addresses.document()))
        except StartFailed as error:
            sys.exit(str(error))
