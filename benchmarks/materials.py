"""What servers need beside a port: a certificate, a dictionary. Made anew for each run."""

from __future__ import annotations

from pathlib import Path

from messages import messages

__all__ = ["make_certificate", "make_dictionary"]


def make_certificate(folder: Path) -> None:
    """``cert.pem`` and ``key.pem``, for 127.0.0.1; ECDSA, as most sites have it.

    Raises:
        ImportError: Without the package ``trustme``.
    """
    import trustme

    if not (folder / "cert.pem").exists():
        made = trustme.CA().issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(str(folder / "key.pem"))
        for part in made.cert_chain_pems:
            part.write_to_path(str(folder / "cert.pem"), append=True)


def make_dictionary(folder: Path) -> None:
    """``feed.zdict``, trained with other messages of the kinds that are sent.

    Raises:
        ImportError: Without the package ``zstandard``.
    """
    import zstandard

    made = zstandard.train_dictionary(1 << 14, list(messages(4000, seed=17)))
    (folder / "feed.zdict").write_bytes(made.as_bytes())
