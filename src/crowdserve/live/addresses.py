"""Addresses of sources: what they may be, whatever answers there."""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

WEB, FILE = ("http", "https"), "file"
STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp")
_WITHOUT_HOST = ("srt", "udp", "rtp")
"""An address without a host means every address of this machine there."""

_NAME = re.compile(r"(?:(?<![\w.-])|(?=_[a-z]+=))([\w.-]+)=", re.ASCII)
"""A name before a value, in a query or, as some cameras have it, in the path.

It is looked for where one begins alone, or an address of 2,048 characters could take minutes.
"""

_VALUE = re.compile(r".*?(?=[&;#/]|_[a-z]+=|$)")
_OF_LOGINS = (
    "account|acct|auth|authentication|authorization|cred|credential|credentials|creds|key|login|loginpas|loginuse|pass|"
    "passcode|passphrase|passw|passwd|password|passwort|passwrd|pw|pwd|secret|sess|session|sig|sign|signature|token|"
    "user|usr"
)
_BESIDE = (
    "access|admin|amz|api|app|basic|bearer|cam|camera|client|code|device|goog|guest|hash|http|id|info|jwt|live|md5|my|"
    "name|onvif|play|private|rtsp|security|share|stream|verify|video|view|viewer|web|x"
)
_NOTHING_ELSE = "credentials?|pass(?:phrase|wd|word)|pwd|secret|sessionid|signature|token"
_WORD = "|".join(sorted(f"{_OF_LOGINS}|{_BESIDE}".split("|"), key=len, reverse=True))
_IS_OF_LOGIN = re.compile(
    rf"(?=.*?(?:{_OF_LOGINS}))(?:(?:{_WORD}|\d)[_.-]*)++|.*(?:{_NOTHING_ELSE})(?:hash|\d)*", re.IGNORECASE
)
"""A name of such words alone, as `loginpas` and `api_key`, or one that ends with a word that means nothing else.

Such are `X-Amz-Signature` and `wsSecret`; not `signal`, nor `keyframe`.
"""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")


def fault_of_address(address: str) -> str:
    """What is wrong with an address; empty if nothing is.

    Args:
        address: It, of which nothing is repeated: a password may stand in it, at a place where none belongs.
    """
    if address != address.strip() or not address.isprintable():
        return "the source has blanks around it, or a line end in it; write the address alone"
    scheme = scheme_of(address)
    if not scheme or scheme == FILE:
        return ""
    if scheme not in (*WEB, *STREAMS):
        known = ", ".join(f"{each}://" for each in (*WEB, *STREAMS))
        return f"the source begins with no known protocol; expected {known}, a file, a folder or a device"
    try:
        parts = urlsplit(address)
        is_whole = "://" in address and (parts.hostname or scheme in _WITHOUT_HOST) and parts.port != 0
    except ValueError:
        is_whole = False
    if is_whole:
        return ""
    return (
        f"the source's URL cannot be read; expected one such as {scheme}://HOST:PORT/PATH, and in a password %2F for /,"
        " %40 for @, %23 for #"
    )


def scheme_of(address: str) -> str:
    """The protocol of a URL in small letters; empty for a path, even if a file's name looks like a URL."""
    found = _SCHEME.match(address)
    return found[1].lower() if found and not os.path.exists(address) else ""


def identity_of(address: str) -> str:
    """What tells a source from others, in hexadecimal digits: another login does not make it another camera.

    Args:
        address: It; what may be a secret in it is no part of the digest.
    """
    scheme = scheme_of(address)
    if not scheme or scheme == FILE:
        return hashlib.sha256(str(path_of(address)).encode()).hexdigest()
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2].lower()
    rest = _without_login(parts._replace(scheme="", netloc="").geturl())
    return hashlib.sha256(f"{scheme}://{host}/{rest.lstrip('/')}".encode()).hexdigest()


def _without_login(rest: str) -> str:
    """A path and a query without the values that may be of a login, which their names say."""
    kept, at = "", 0
    while found := _NAME.search(rest, at):
        end = found.end()
        kept, at = kept + rest[at:end], end
        if _IS_OF_LOGIN.fullmatch(found[1].strip("_.-")) and (value := _VALUE.match(rest, end)):
            at = value.end()
    return kept + rest[at:]


def path_of(address: str) -> Path:
    """The path of an address that is no URL of the network; a number alone is that of a video device."""
    if scheme_of(address) == FILE:
        return Path(unquote(urlsplit(address).path))
    if address.isdecimal() and not os.path.exists(address):
        return Path(f"/dev/video{address}")
    return Path(address if os.path.exists(address) else os.path.expanduser(address))
