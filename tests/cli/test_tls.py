"""TLS contexts from files: errors name the file at fault."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from wsext import OptionError
from wsext.cli.tls import client_context, server_context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("one", "two"):
        made = trustme.CA().issue_cert(f"{name}.example")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        made.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.both")
    (folder / "empty").write_text("")
    return folder


@pytest.mark.parametrize(
    ("cert", "key", "field", "problem"),
    [
        ("none", None, "ssl_cert", "cannot be read: {none}: No such file or directory"),
        (".", None, "ssl_cert", "cannot be read: {.}: Is a directory"),
        ("empty", None, "ssl_cert", "{empty} has no certificate in PEM form"),
        ("one.key", None, "ssl_cert", "{one.key} has no certificate in PEM form"),
        ("one.pem", None, "ssl_cert", "{one.pem} has no private key that can be used: name"),
        ("one.pem", "none", "ssl_key", "cannot be read: {none}"),
        ("one.pem", "empty", "ssl_key", "{empty} has no private key that can be used"),
        ("one.pem", "two.pem", "ssl_key", "{two.pem} has no private key that can be used"),
        ("one.pem", "two.key", "ssl_key", "{two.key} is not that of the certificate in {one.pem}"),
        (None, "one.key", "ssl_key", "needs ssl_cert, too"),
    ],
)
def test_the_file_at_fault_is_named(
    cert: str | None, key: str | None, field: str, problem: str, files: Path
) -> None:
    given: list[Any] = [name if name is None else str(files / name) for name in (cert, key)]
    with pytest.raises(OptionError) as caught:
        server_context(*given)
    assert (caught.value.owner, caught.value.field) == ("serve", field)
    names = re.sub(r"\{(.*?)\}", lambda found: str(files / found[1]), problem)
    assert names in caught.value.problem


def test_what_can_be_used_is(files: Path) -> None:
    assert server_context(None, None) is None
    for given in (("one.both", None), ("one.pem", "one.key")):
        paths: list[Any] = [name if name is None else str(files / name) for name in given]
        assert isinstance(server_context(*paths), ssl.SSLContext)


def test_a_client_trusts_whom_it_is_told_to(files: Path) -> None:
    assert client_context() is None
    trusting = client_context(cacert=str(files / "one.pem"), cert=str(files / "two.both"))
    assert trusting is not None
    assert len(trusting.get_ca_certs(binary_form=True)) <= 1
    assert trusting.verify_mode is ssl.CERT_REQUIRED
    careless = client_context(check=False)
    assert careless is not None
    assert careless.verify_mode is ssl.CERT_NONE
    with pytest.raises(OptionError, match=r"connect: --cacert: \S+one.key has no certificate"):
        client_context(cacert=str(files / "one.key"))
    with pytest.raises(OptionError, match="connect: --key: needs --cert, too"):
        client_context(key=str(files / "one.key"))
