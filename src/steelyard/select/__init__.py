"""Pareto front, goals, proof and choice."""
