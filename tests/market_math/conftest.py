import os

from hypothesis import settings

# The same bounded examples on every run; `HYPOTHESIS_PROFILE=soak` looks further, and elsewhere each time.
settings.register_profile("bounded", derandomize=True, deadline=None, max_examples=60, stateful_step_count=30)
settings.register_profile("soak", deadline=None, max_examples=5_000, stateful_step_count=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "bounded"))
