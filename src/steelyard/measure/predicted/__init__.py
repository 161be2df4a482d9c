"""Latency predicted from what a model's kernels are, by regressions on kernels that were measured."""
