"""Only the jars that were locked are ever run, and a machine without network is told what to do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from shared.broker import jars
from shared.broker.jars import DownloadError, Jar


def test_the_lock_names_kafka_and_a_sha256_for_each_jar() -> None:
    locked = jars.read_lock(jars.LOCK.read_text())
    assert "org.apache.kafka:kafka_2.13:4.1.1" in {jar.coordinate for jar in locked}
    assert len({jar.coordinate for jar in locked}) == len(locked) > 40
    assert all(len(bytes.fromhex(jar.sha256)) == 32 for jar in locked)


def test_what_is_installed_is_what_is_locked() -> None:
    folder = jars.install(jars.cache_home())
    installed = {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    assert installed == {jar.sha256 for jar in jars.read_lock(jars.LOCK.read_text())}


def test_an_altered_jar_is_refused_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.jar"
    path.write_bytes(b"altered")
    with pytest.raises(DownloadError, match="g:a:1: sha256 is"):
        jars.verify(path, Jar("g:a:1", hashlib.sha256(b"locked").hexdigest()))
    assert not path.exists()


def test_without_a_network_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMWHEEL_MAVEN", "http://127.0.0.1:9/maven")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9.*STREAMWHEEL_BROKER"):
        jars.install(tmp_path)
    assert list(tmp_path.iterdir()) == []  # nothing half-installed is left to be found later


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STREAMWHEEL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert jars.cache_home() == tmp_path / "streamwheel"
    monkeypatch.setenv("STREAMWHEEL_CACHE", str(tmp_path / "elsewhere"))
    assert jars.cache_home() == tmp_path / "elsewhere"
