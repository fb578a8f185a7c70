"""The page that a person reads: one HTML file with inline plots, viewable without a network."""

from shared.evaluation.report.held_out import HeldOutRows, write_held_out
from shared.evaluation.report.page import write_report

__all__ = ["HeldOutRows", "write_held_out", "write_report"]
