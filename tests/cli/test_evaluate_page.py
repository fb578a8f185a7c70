"""The page that streamwheel evaluate writes: whole, by itself, with every plot."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from shared.core.estimators.log import Logged
from shared.evaluation.segments import MOST, OTHERS, Segments
from shared.evaluation.timeline import STRETCHES, Timeline
from tests.cli.evaluating import answer, columns, write


class Tags(HTMLParser):
    """Open elements, which must close in order, and every attribute."""

    VOID = frozenset({"meta"})
    LOOSE = frozenset({"tr", "td", "th"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID | self.LOOSE:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in self.LOOSE:
            assert self.open.pop() == tag


def test_the_page_stands_alone_and_shows_everything(tmp_path: Path) -> None:
    segment = np.where(np.arange(2000) % 3 == 0, "<b>few & odd</b>", "many")
    log = write(tmp_path / "log.parquet", columns() | {"segment": segment})
    page = tmp_path / "page.html"
    found = answer(log, "--report", page)
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.seen.count("svg") == 5
    assert not {"script", "link", "img", "iframe"} & set(tags.seen)
    assert not [value for name, value in tags.attributes if name in ("src", "href")]
    assert not re.search(r"https?://|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert "<b>few" not in text
    assert "&lt;b&gt;few &amp; odd" in text
    for title in ("Estimates", "Weights", "Reward over the log", "Effective sample over the log", "Segments"):
        assert f"<h2>{title}</h2>" in text
    assert f'class="verdict {found["verdict"]}"' in text
    assert f"{found['estimates']['dr']['value']:.4g}" in text


def test_a_page_can_be_written_of_a_log_without_any_weight(tmp_path: Path) -> None:
    data = columns(300)
    data["target_propensity"][:] = 0.0
    page = tmp_path / "page.html"
    found = answer(write(tmp_path / "log.csv", data), "--report", page)
    assert found["verdict"] == "refused"
    assert found["estimates"]["snips"] == {"value": None, "low": None, "high": None}
    assert "No decision has any weight." in page.read_text(encoding="utf-8")


def some(rows, seed=0):
    data = columns(rows, seed)
    return Logged(data["reward"], data["propensity"], data["target_propensity"])


def test_a_timeline_keeps_its_stretches_few_and_its_sums_whole() -> None:
    timeline = Timeline()
    logs = [some(rows, rows) for rows in (50, 30, 1000, 12)]
    for log in logs:
        timeline.add(log)
    assert timeline.length == 32
    rewards = np.concatenate([log.reward for log in logs])
    found = timeline.column("reward")
    assert len(found) == 1092 // 32 <= STRETCHES
    assert found == pytest.approx([rewards[n * 32 : n * 32 + 32].sum() for n in range(34)])


def test_segments_are_estimated_apart_and_late_ones_together() -> None:
    segments, log = Segments(), some(3000)
    names = [f"s{n % 60:02d}" for n in range(3000)]
    segments.add(log, names)
    found = {each.name: each for each in segments.estimates(0.05)}
    assert len(found) == MOST + 1
    assert found[OTHERS].rows == 3000 - 50 * MOST
    rows = np.arange(3000) % 60 == 7
    weight, reward = log.weight[rows], log.reward[rows]
    value = float((weight * reward).sum() / weight.sum())
    error = float(np.sqrt((weight**2 * (reward - value) ** 2).sum()) / weight.sum())
    assert found["s07"].value == pytest.approx(value)
    assert found["s07"].interval.high - value == pytest.approx(1.959964 * error)
