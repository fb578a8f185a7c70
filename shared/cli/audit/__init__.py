"""The loop's promises, held against a brute-force reading of its topics."""
