"""Runtimes that ship models."""
