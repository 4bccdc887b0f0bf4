"""Metrics over photo sets: what is measured, how it is run, and the rows that come out."""
