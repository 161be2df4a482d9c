"""Contract suites of the protocols, and fakes."""
