"""Compression steps."""
