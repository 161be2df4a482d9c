"""What is to be learned: data, splits, metrics."""
