"""Rewards as Parquet files: written by the trainer's archiver, read by whoever trains or evaluates."""
