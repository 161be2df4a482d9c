"""The one pipeline: explore, confirm, certify, pack."""
