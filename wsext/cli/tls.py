"""TLS contexts from files, with errors that name the file at fault."""

from __future__ import annotations

import ssl
from pathlib import Path

from wsext.errors import OptionError

__all__ = ["client_context", "server_context"]


def server_context(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """The context of ``[serve] ssl_cert`` and ``ssl_key``; ``None`` without a certificate.

    Raises:
        OptionError: If one of the files cannot be used.
    """
    if cert is None:
        if key is not None:
            raise OptionError("serve", "ssl_key", "needs ssl_cert, too")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_chain(context, "serve", ("ssl_cert", cert), ("ssl_key", key))
    return context


def client_context(
    *,
    cacert: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    check: bool = True,
) -> ssl.SSLContext | None:
    """The context of a command that connects; ``None`` if the default is wanted.

    Args:
        cacert: PEM file with the certificates to trust, instead of the system's.
        cert: PEM file with the client's own certificate, and its key if ``key`` does not have it.
        key: PEM file with the key.
        check: Whether the server's certificate is checked.

    Raises:
        OptionError: If one of the files cannot be used.
    """
    if check and cacert is None and cert is None and key is None:
        return None
    if cacert is not None:
        _check_certificates("connect", "--cacert", cacert)
    context = ssl.create_default_context(cafile=cacert)
    if cert is not None:
        _load_chain(context, "connect", ("--cert", cert), ("--key", key))
    elif key is not None:
        raise OptionError("connect", "--key", "needs --cert, too")
    if not check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_chain(
    context: ssl.SSLContext, owner: str, cert: tuple[str, str], key: tuple[str, str | None]
) -> None:
    """Load a certificate and its key; each comes with the name of its option."""
    _check_certificates(owner, *cert)
    option, file = key if key[1] is not None else cert
    assert file is not None
    _read(owner, option, file)
    try:
        context.load_cert_chain(cert[1], key[1])
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            problem = f"the key in {file} is not that of the certificate in {cert[1]}"
        elif file == cert[1]:
            problem = f"{file} has no private key that can be used: name its file with {key[0]}"
        else:
            problem = f"{file} has no private key that can be used"
        raise OptionError(owner, option, problem) from None


def _check_certificates(owner: str, option: str, file: str) -> None:
    _read(owner, option, file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise OptionError(owner, option, f"{file} has no certificate in PEM form") from None


def _read(owner: str, option: str, file: str) -> None:
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise OptionError(owner, option, f"cannot be read: {file}: {error.strerror}") from None
