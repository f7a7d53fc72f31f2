"""Bearer tokens from the environment, where neither process list nor shell history shows them."""

import os
import re

from crowdserve.errors import SetupError

SERVICE_TOKEN = "CROWDSERVE_TOKEN"
PROMETHEUS_TOKEN = "CROWDSERVE_PROMETHEUS_TOKEN"
MODELS_TOKEN = "CROWDSERVE_MODELS_TOKEN"


def read_token(variable: str) -> str | None:
    """The token in an environment variable; None if it is unset or empty.

    White space around it is dropped: a token read from a file often ends with a line break.

    Raises:
        SetupError: If the token cannot be sent in a header; the message does not show it.
    """
    token = os.environ.get(variable, "").strip()
    if not re.fullmatch("[!-~]*", token):
        raise SetupError(f"{variable} is not a bearer token, which has neither blanks nor characters beyond ASCII")
    return token or None
