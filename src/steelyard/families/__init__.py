"""Models whose scale can be set."""
