"""Random little models over operators, shapes and types, from which this machine's kernels are learned."""
