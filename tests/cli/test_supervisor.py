"""Processes start in order, come back after a crash, and never outlive their supervisor."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.broker.embedded import EmbeddedBroker
from shared.broker.ports import PortTaken
from shared.cli import children
from shared.cli.addresses import SERVICES, Addresses
from shared.cli.children import Child, Spec
from shared.cli.plan import SERVICES as STARTED
from shared.cli.plan import check_ports, plan
from shared.cli.state import StateFolder
from tests.cli.conftest import Start
from tests.waiting import wait_for


def streamwheel(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shared.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def seen(state: Path) -> dict[str, Any]:
    document = json.loads(streamwheel("status", "--state", state, "--json").stdout)
    return {each["process"]: each for each in document["processes"]} | {"loop": document}


@pytest.fixture
def loop(
    start: Start, broker: EmbeddedBroker, tmp_path: Path, port_base: int
) -> tuple[subprocess.Popen[str], Path]:
    """A loop of fake services that has said it is ready."""
    supervisor = start("tests.cli.fake_loop", tmp_path, port_base, broker.bootstrap)
    assert supervisor.stdout is not None
    assert json.loads(supervisor.stdout.readline())["collector"] == f"http://127.0.0.1:{port_base + 1}"
    return supervisor, tmp_path


def test_status_tells_pid_address_readiness_and_lag(loop: tuple[subprocess.Popen[str], Path]) -> None:
    supervisor, state = loop
    found = seen(state)
    assert found["loop"]["ready"]
    assert found["loop"]["supervisor"] == supervisor.pid
    for name in SERVICES:
        assert found[name]["alive"]
        assert found[name]["ready"]
        assert found[name]["lag"] == 3
        assert psutil.Process(found[name]["pid"]).ppid() == supervisor.pid
        assert found[name]["pid"] == int((state / "run" / f"{name}.pid").read_text())
        assert (state / "logs" / f"{name}.log").read_text() == "mode ready\n"


def test_a_killed_process_comes_back(loop: tuple[subprocess.Popen[str], Path]) -> None:
    _, state = loop
    before = seen(state)["collector"]["pid"]
    os.kill(before, signal.SIGKILL)
    found = wait_for(lambda: (each := seen(state)["collector"])["ready"] and each["restarts"] and each)
    assert found["pid"] != before
    assert found["restarts"] == 1


def test_a_process_that_is_stuck_is_started_again(
    start: Start, broker: EmbeddedBroker, tmp_path: Path, port_base: int
) -> None:
    supervisor = start("tests.cli.fake_loop", tmp_path, port_base, broker.bootstrap, "decisions=stuck")
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline()
    found = wait_for(lambda: (each := seen(tmp_path))["decisions"]["restarts"] and each)
    assert not any(found[name]["restarts"] for name in SERVICES if name != "decisions")
    supervisor.send_signal(signal.SIGTERM)
    _, said = supervisor.communicate(timeout=30)
    assert "decisions (pid " in said
    assert "does not live, and is killed" in said


def test_down_stops_everything_and_is_repeatable(loop: tuple[subprocess.Popen[str], Path]) -> None:
    supervisor, state = loop
    pids = [seen(state)[name]["pid"] for name in SERVICES]
    assert streamwheel("down", "--state", state).returncode == 0
    assert supervisor.wait(10) == 0
    assert not any(map(psutil.pid_exists, pids))
    assert not list((state / "run").glob("*.pid"))
    assert "nothing runs" in streamwheel("down", "--state", state).stderr
    assert streamwheel("status", "--state", state).returncode == 1


def test_ctrl_c_stops_everything(loop: tuple[subprocess.Popen[str], Path]) -> None:
    supervisor, state = loop
    pids = [seen(state)[name]["pid"] for name in SERVICES]
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(20) == 0
    assert not any(map(psutil.pid_exists, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_no_process_outlives_a_killed_supervisor(loop: tuple[subprocess.Popen[str], Path]) -> None:
    supervisor, state = loop
    pids = [seen(state)[name]["pid"] for name in SERVICES]
    supervisor.kill()
    supervisor.wait(10)
    wait_for(lambda: not any(_runs(pid) for pid in pids))
    assert seen(state)["loop"]["supervisor"] is None


def test_down_stops_what_a_killed_supervisor_left_behind(
    start: Start, broker: EmbeddedBroker, tmp_path: Path, port_base: int
) -> None:
    left = start("tests.cli.fake_service", port_base + 1, "ready")
    folder = StateFolder(tmp_path)
    folder.create()
    folder.record("collector", left.pid)
    assert streamwheel("down", "--state", tmp_path).returncode == 0
    assert left.wait(10) == -signal.SIGTERM


def test_a_pid_file_of_an_older_process_means_nothing(start: Start, tmp_path: Path, port_base: int) -> None:
    other = start("tests.cli.fake_service", port_base, "ready")
    folder = StateFolder(tmp_path)
    folder.create()
    folder.record("collector", other.pid)
    os.utime(tmp_path / "run" / "collector.pid", (1, 1))
    assert streamwheel("down", "--state", tmp_path).returncode == 0
    assert other.poll() is None


def test_a_second_supervisor_in_the_same_state_is_refused(
    loop: tuple[subprocess.Popen[str], Path], port_base: int
) -> None:
    _, state = loop
    refused = streamwheel("up", "--state", state, "--port-base", port_base)
    assert refused.returncode == 1
    assert f"Streamwheel runs in {state} already" in refused.stderr
    assert seen(state)["loop"]["ready"]


def test_a_process_that_dies_while_starting_is_named_with_its_log(
    start: Start, broker: EmbeddedBroker, tmp_path: Path, port_base: int
) -> None:
    supervisor = start("tests.cli.fake_loop", tmp_path, port_base, broker.bootstrap, "learner=dies")
    out, err = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 1
    assert out == ""
    assert "learner stopped with exit code 1 while starting" in err
    assert "the model file is missing" in err
    assert "Traceback" not in err
    assert not StateFolder(tmp_path).recorded()


def test_a_taken_port_is_named_with_its_holder(port_base: int) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port_base + 6))
        taken.listen()
        with pytest.raises(
            PortTaken, match=f"reward-calculator.*port {port_base + 6}.*{os.getpid()}"
        ) as found:
            check_ports(Addresses(port_base))
    assert "--port-base" in str(found.value)


def test_a_named_cluster_takes_the_embedded_brokers_place(tmp_path: Path) -> None:
    names = [spec.name for spec in plan(Addresses(8000, "kafka:9092"), StateFolder(tmp_path))]
    assert names == [*STARTED]
    own = plan(Addresses(8000), StateFolder(tmp_path))
    assert own[0].name == "broker"
    assert own[1].environment["STREAMWHEEL_BROKER"] == "127.0.0.1:8009"
    assert own[1].environment["STREAMWHEEL_PORT"] == "8007"


def test_a_loop_keeps_the_key_that_assigns_arms_unless_it_is_given_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(folder: Path) -> dict[str, str]:
        specs = plan(Addresses(8000), StateFolder(folder))
        return {spec.name: spec.environment.get("STREAMWHEEL_ASSIGNMENT_KEY", "") for spec in specs}

    monkeypatch.delenv("STREAMWHEEL_ASSIGNMENT_KEY", raising=False)
    first = keys(tmp_path / "a")
    assert {name for name, key in first.items() if key} == {"decisions"}
    assert len(first["decisions"]) == 64
    assert keys(tmp_path / "a") == first
    assert keys(tmp_path / "b") != first
    assert (tmp_path / "a" / "assignment.secret").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("STREAMWHEEL_ASSIGNMENT_KEY", "mine")
    assert keys(tmp_path / "a")["decisions"] == "mine"


def test_a_long_log_moves_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOG_LIMIT", 1_000)
    folder = StateFolder(tmp_path)
    folder.create()
    child = Child(Spec("talker", ("true",)), folder, lambda: 0.0)
    log = folder.log("talker")
    log.write_text("y" * 900)
    child.roll_log()
    assert log.stat().st_size == 900
    log.write_text("y" * 1_001)
    child.roll_log()
    assert log.read_text() == ""
    assert (tmp_path / "logs" / "talker.log.1").read_text() == "y" * 1_001


def test_a_process_that_dies_again_and_again_waits_longer_each_time(tmp_path: Path) -> None:
    now = 0.0
    folder = StateFolder(tmp_path)
    folder.create()
    child = Child(Spec("dies", (sys.executable, "-c", "pass")), folder, lambda: now)
    child.start()
    pauses: list[float] = []
    for _ in range(7):
        assert wait_for(lambda: child.ended() is not None)
        assert not child.revive()
        before = now
        while not child.revive():
            now += 0.125
        pauses.append(now - before)
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert pauses[-1] == pytest.approx(children.LONGEST_DELAY_S, abs=0.13)
    now += children.STEADY_S
    assert wait_for(lambda: child.ended() is not None)
    now += children.FIRST_DELAY_S
    assert child.revive()
    assert child.stop()


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
