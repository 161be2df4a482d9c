from hypothesis import settings

# The machines that run this are shared: how long an example takes says nothing.
# The same examples every time: a red run can be repeated.
settings.register_profile("tasks", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("tasks")
