"""`property_test`: hypothesis' `given`, counting the examples that ran to their end."""

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings

COMPLETED: Counter[str] = Counter()
"""Examples that passed, by the name of their test; the end of a session prints them."""

PROFILES = {"default": 60, "ci": 300, "long": 20_000}


def load_profile() -> str:
    """The profile named by DYNRES_HYPOTHESIS_PROFILE or HYPOTHESIS_PROFILE, else `default`."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    for name, examples in PROFILES.items():
        settings.register_profile(
            name, max_examples=examples, deadline=None, print_blob=True, suppress_health_check=slow
        )
    variables = ("DYNRES_HYPOTHESIS_PROFILE", "HYPOTHESIS_PROFILE")
    chosen = next((os.environ[v] for v in variables if os.environ.get(v)), "default")
    settings.load_profile(chosen)
    return chosen


def property_test(**strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def counted(*args: Any, **kwargs: Any) -> None:
            test(*args, **kwargs)
            COMPLETED[f"{test.__module__}::{test.__name__}"] += 1

        return given(**strategies)(counted)

    return decorate
