from hypothesis import settings

# The machines that run this are shared: how long an example takes says nothing.
settings.register_profile("tasks", deadline=None, max_examples=50)
settings.load_profile("tasks")
