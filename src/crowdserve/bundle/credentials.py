"""Credentials of registries, read from where `docker login`, `podman login` and their helpers keep them."""

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crowdserve.errors import BundleError

_HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"
_HELPER_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user of a registry.

    Attributes:
        user: Name of the user.
        secret: Password or, for the user ``<token>``, a refresh token that is exchanged for others.
    """

    user: str
    secret: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The header of basic authentication."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()

    @property
    def is_refresh_token(self) -> bool:
        """Whether the secret is a refresh token."""
        return self.user == _TOKEN_USER


def find_credentials(registry: str, environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """The credentials that a login to a registry stored; None without a login.

    Args:
        registry: Registry as in an image's reference.
        environment: Environment variables: `REGISTRY_AUTH_FILE` names the file, `DOCKER_CONFIG` its folder, else
            ``~/.docker``.

    Raises:
        BundleError: If the file cannot be read, or its helper fails.
    """
    folder = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
    path = Path(environment.get("REGISTRY_AUTH_FILE") or folder / "config.json")
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
        key = _HUB_KEY if registry == "docker.io" else registry
        helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
        entry = config.get("auths", {}).get(key) or config.get("auths", {}).get(f"https://{registry}") or {}
        if entry.get("identitytoken"):
            return Credentials(_TOKEN_USER, entry["identitytoken"])
        if entry.get("auth"):
            user, _, secret = base64.b64decode(entry["auth"]).decode().partition(":")
            return Credentials(user, secret)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as err:
        raise BundleError(f"{path} cannot be read ({type(err).__name__}); log in to {registry} again") from err
    return _ask_helper(helper, key) if helper else None


def _ask_helper(helper: str, key: str) -> Credentials | None:
    command = f"docker-credential-{helper}"
    try:
        result = subprocess.run(
            [command, "get"], input=key, capture_output=True, text=True, timeout=_HELPER_TIMEOUT_SECONDS, check=False
        )
        if result.returncode:  # a helper's reply if it has none
            return None
        found = json.loads(result.stdout)
        return Credentials(found["Username"], found["Secret"])
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as err:
        raise BundleError(f"{command} gave no credentials for {key} ({type(err).__name__}); log in again") from err
