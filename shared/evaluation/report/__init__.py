"""The page that a person reads: one HTML file with inline plots, viewable without a network."""

from shared.evaluation.report.page import write_report

__all__ = ["write_report"]
