"""Metric names and labels: one prefix, and nothing a client sends becomes a series."""

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shared.telemetry.metrics import Metrics, bounded


def test_processes_do_not_share_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.records_in.labels("decisions").inc()
    assert second.registry.get_sample_value("streamwheel_records_in_total", {"topic": "decisions"}) is None


def test_every_name_is_ours_or_the_process_collectors_and_has_help() -> None:
    families = list(text_string_to_metric_families(generate_latest(Metrics().registry).decode()))
    assert {family.name.split("_")[0] for family in families} == {"streamwheel", "process", "python"}
    assert all(family.documentation for family in families)


def test_unknown_labels_become_one() -> None:
    assert bounded("optdigits", {"optdigits"}) == "optdigits"
    assert bounded("drop table", {"optdigits"}) == "other"
