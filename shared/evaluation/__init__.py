"""Evaluations of logged decisions as documents and as pages for people."""
