"""Latency, memory, size and the environment they are measured in."""
