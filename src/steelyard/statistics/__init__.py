"""Exact tests, intervals and the bootstrap."""
