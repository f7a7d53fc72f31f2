"""Secrets: `${NAME}` in the configuration, and texts without them for logs, metrics and pages.

A secret comes from the environment, or from a file: `${file:/run/secrets/camera}`. Whatever was put in is removed from
every text that leaves this process, and so is the part of a URL that may hold a password.
"""

import base64
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

from crowdserve.failures import in_words

HIDDEN = "***"

_REFERENCE = re.compile(r"(?P<escaped>\$?)\$\{(?:(?P<file>file:)?(?P<name>[^}]*)\})?")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^\s'\"<>]*)")
_QUERY = re.compile(r"([?&;][^=&;#]*=)[^&;#]*")
_ENCODED = "whsec_"
_SHORTEST = 4
"""Characters of the shortest secret that is looked for in texts: shorter ones are part of many words."""


class Secrets:
    """The secrets that a configuration has asked for.

    Attributes:
        files: Files that some of them have been read from.

    Args:
        environment: Where `${NAME}` is looked up.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._values: set[str] = set()
        self.files: set[str] = set()

    def filled_in(self, text: str) -> str:
        """A text with the values of its references; `$${` stands for `${` itself.

        Raises:
            ValueError: If one has no value.
        """
        return _REFERENCE.sub(self._value, text)

    def hide(self, text: str) -> str:
        """A text without the values that were filled in, and without what may be secret in its URLs."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, HIDDEN)
        return hide_in_urls(text)

    def learn(self, others: "Secrets") -> None:
        """Hide what other secrets hide, too."""
        self._values |= others._values

    def _value(self, reference: "re.Match[str]") -> str:
        if reference["escaped"]:
            return reference[0][1:]
        from_file, name = reference["file"], reference["name"]
        if name is None or not (name if from_file else _NAME.fullmatch(name)):
            raise ValueError(
                f"{reference[0]} is no reference; expected ${{NAME}} or ${{file:/path}}, and $${{ for ${{ itself"
            )
        if from_file:
            self.files.add(name)
        value = _content(name) if from_file else self._environment.get(name)
        if not value:
            raise ValueError(f"${{{name}}} is not set; export {name}, or refer to a file as ${{file:/path}}")
        if len(value) >= _SHORTEST:
            self._values.add(value)
        return value


class HidingFilter(logging.Filter):
    """A filter of a log handler that keeps secrets out of every record.

    Args:
        secrets: What to hide.
    """

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the record's text and its traceback's."""
        record.msg, record.args = self._secrets.hide(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self._secrets.hide(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


def hide_in_urls(text: str) -> str:
    """A text whose URLs have neither user and password nor values in their queries."""
    return _URL.sub(lambda found: found[1] + _without_credentials(found[2]), text)


def signing_key(secret: str) -> bytes:
    """The key of a webhook's secret, which is text, or `whsec_` and base64.

    Raises:
        ValueError: If it is no base64.
    """
    if not secret.startswith(_ENCODED):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
    except ValueError as err:
        raise ValueError(f"what follows {_ENCODED} is no base64; copy the whole secret") from err


def _without_credentials(rest: str) -> str:
    authority, slash, path = rest.partition("/")
    if "@" in rest.partition("?")[0]:  # a password may hold a slash
        authority, slash, path = rest.partition("?")[0].rpartition("@")[2], "", rest[len(rest.partition("?")[0]) :]
    return _QUERY.sub(rf"\1{HIDDEN}", authority + slash + path)


def _content(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as err:
        raise ValueError(f"the secret's file cannot be read: {in_words(err)}") from err
