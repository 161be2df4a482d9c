"""Strategies propose candidates."""
