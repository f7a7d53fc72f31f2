"""Bearer tokens out of the environment, where no process list and no shell history shows them."""

import os
import re

from crowdserve.errors import SetupError

SERVICE_TOKEN = "CROWDSERVE_TOKEN"
PROMETHEUS_TOKEN = "CROWDSERVE_PROMETHEUS_TOKEN"
MODELS_TOKEN = "CROWDSERVE_MODELS_TOKEN"


def read_token(variable: str) -> str | None:
    """The token in an environment variable; None without one.

    White space around it is dropped: a token out of a file often ends with a line break.

    Raises:
        SetupError: If it could not stand in a header; the message does not show it.
    """
    token = os.environ.get(variable, "").strip()
    if not re.fullmatch("[!-~]*", token):
        raise SetupError(f"{variable} is no bearer token: one has neither blanks nor characters beyond ASCII")
    return token or None
