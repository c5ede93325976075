"""Real time and real chance: the common default of every binding."""

from __future__ import annotations

import random
import secrets
import time
from base64 import urlsafe_b64encode

from sioproto.environment import Environment


def real_environment() -> Environment:
    """Returns the environment of production: the process's monotonic and wall clocks, and the system's randomness."""
    return Environment(
        clock=time.monotonic, wall=time.time, ids=random_id, entropy=secrets.token_bytes, jitter=random.random
    )


def random_id() -> str:
    """Returns 120 random bits as 20 characters of the URL-safe base64 alphabet."""
    return urlsafe_b64encode(secrets.token_bytes(15)).decode("ascii")
