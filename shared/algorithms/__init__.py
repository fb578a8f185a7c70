"""Training: one folder for each algorithm. `contract.py` says what such a folder holds."""
