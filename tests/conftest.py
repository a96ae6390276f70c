"""Hypothesis profiles and the fixture that lets one test body serve every backend.

`dev` (25 examples) runs by default; with the environment variable CI set, `ci` runs 100, the same every time.
"""

import os

import pytest
from hypothesis import settings

import inachus.kernels

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="module", params=list(inachus.kernels.HOSTS))
def kernels(request):
    """Each backend in turn, selected for the whole engine while the test runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inachus.kernels, "_host", None)  # put back at the end, whatever was selected before
        yield inachus.kernels.use_host(request.param)
