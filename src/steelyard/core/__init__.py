"""Values, protocols, errors, registry: standard library and numpy only."""
