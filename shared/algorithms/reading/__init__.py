"""Files of training data to tables. A module named as an application reads that application's own lines."""
