"""Certificates of servers: which authorities are trusted, and what to do about one that is not of theirs.

Trusted are the usual authorities, or those of `SSL_CERT_FILE` or `SSL_CERT_DIR` where that is set, and those of a file
that the user names.
"""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx

from crowdserve.errors import SetupError
from crowdserve.terminal import printable

CA_FILE = "CROWDSERVE_CA_FILE"

_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_NAMES = {62, 63, 64}
_UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}
"""OpenSSL's numbers of what is wrong with a certificate (X509_V_ERR_…)."""

_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"}
_MOST_CA_BYTES = 16 << 20


def tls_context(ca_file: Path | None = None, *, url: str = "https://") -> ssl.SSLContext:
    """What checks the certificates of servers.

    Args:
        url: If it is not https://, no certificate will be seen, no file is read, and nobody is trusted.
        ca_file: Certificates of further authorities, in PEM or DER.

    Raises:
        SetupError: If that file has no certificates, or the variables of OpenSSL name none.
    """
    if not url.startswith("https://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context = httpx.create_ssl_context()
    except OSError as err:
        named = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), "the system")
        shown = printable(os.environ.get(named, ""))
        raise SetupError(f"{named} {shown} cannot be read ({_reason(err)}); expected certificates in PEM") from err
    if ca_file is not None:
        context.load_verify_locations(cadata=read_authorities(ca_file))
    return context


def named_ca_file() -> Path | None:
    """The file of authorities that the environment names; None if it names none."""
    return Path(os.environ[CA_FILE]) if os.environ.get(CA_FILE) else None


def read_authorities(ca_file: Path) -> str | bytes:
    """The certificates of a file: the text of PEM, or the bytes of DER.

    Raises:
        SetupError: If it has none.
    """
    try:
        with ca_file.open("rb") as file:
            content = file.read(_MOST_CA_BYTES)
        found = content.decode("ascii", "ignore") if b"-----BEGIN" in content else content
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found)
    except (OSError, ValueError) as err:
        raise SetupError(
            f"the file of authorities {printable(ca_file)} cannot be used ({_reason(err)}); expected certificates in "
            "PEM, each between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----"
        ) from err
    return found


def write_authorities(target: Path, ca_file: Path | None) -> None:
    """Write the usual authorities and those of a file, if any, into one PEM file, for libraries that take nothing else.

    Raises:
        SetupError: If `ca_file` has no certificates.
    """
    found: list[str | bytes] = [] if ca_file is None else [read_authorities(ca_file)]
    found += tls_context().get_ca_certs(binary_form=True)
    found += _in_folder()
    target.write_text("\n".join(each if isinstance(each, str) else ssl.DER_cert_to_PEM_cert(each) for each in found))


def _in_folder() -> Iterator[str]:
    """The certificates of `SSL_CERT_DIR`, which OpenSSL reads when it needs one, and not before."""
    folder = "" if os.environ.get("SSL_CERT_FILE") else os.environ.get("SSL_CERT_DIR", "")
    for file in sorted(Path(folder).iterdir()) if folder else ():
        text = file.read_text("ascii", "ignore") if file.is_file() else ""
        if "-----BEGIN CERTIFICATE-----" in text:
            yield text


def certificate_problem(err: BaseException, ca_file: Path | None = None) -> str | None:
    """What is wrong with a server's certificate, or its TLS, and what to do; None if an error has another cause.

    Args:
        err: An error of a client.
        ca_file: The file of authorities that the client was given.
    """
    for cause in _causes(err):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _verification_problem(cause, ca_file)
        if type(cause).__name__ == "CertificateError":  # urllib3 compares names by itself
            return _name_problem(str(cause))
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return "it does not speak TLS; expected https, so check the port, or use http:// if no encryption is meant"
        if isinstance(cause, ssl.SSLError) and "CERTIFICATE_REQUIRED" in (cause.reason or ""):
            return "it asks for a client's certificate, which crowdserve does not send; use an address without that"
    return None


def _verification_problem(err: ssl.SSLCertVerificationError, ca_file: Path | None) -> str:
    said = err.verify_message
    if err.verify_code == _EXPIRED:
        return f"its certificate is not valid any more ({said}); renew it, or set the clock of this machine"
    if err.verify_code == _NOT_YET_VALID:
        return f"its certificate is not valid yet ({said}); set the clock of this machine"
    if err.verify_code in _OTHER_NAMES:
        return _name_problem(said)
    if err.verify_code not in _UNKNOWN_AUTHORITY:
        return f"its certificate is refused ({said}); whoever runs the server has to replace it"
    among = f" nor in {printable(ca_file)}" if ca_file else ""
    return (
        f"its certificate is of an authority that is not known here{among} ({said}); if that is your own, give the "
        f"authority's certificate by --ca-file or {CA_FILE}"
    )


def _name_problem(said: str) -> str:
    return f"its certificate is for another name ({said.rstrip('.')}); use a name that the certificate has"


def _causes(err: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it, as each library keeps that."""
    seen: set[int] = set()
    while err is not None and id(err) not in seen:
        seen.add(id(err))
        yield err
        kept = (err.__cause__, getattr(err, "reason", None), *err.args, err.__context__)
        err = next((each for each in kept if isinstance(each, BaseException)), None)


def _reason(err: OSError | ValueError) -> str:
    if isinstance(err, OSError) and not isinstance(err, ssl.SSLError):
        return err.strerror or type(err).__name__
    return "no certificate in it"
