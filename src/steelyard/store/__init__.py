"""The study: trials, artifacts and bundles."""
