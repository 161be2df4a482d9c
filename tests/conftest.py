"""Settings of every test."""

from hypothesis import settings

# A deadline would assert a time on a machine that does other things; examples drawn anew would fail one run in many.
settings.register_profile("steelyard", deadline=None, derandomize=True)
settings.load_profile("steelyard")
