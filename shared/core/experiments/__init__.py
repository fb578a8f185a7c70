"""Tests of several variants on users: who gets which, and what is known of each however often one looks."""
