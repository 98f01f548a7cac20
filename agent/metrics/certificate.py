"""When a certificate ends. Apart, since a server without TLS need not load the library that reads one."""

from pathlib import Path

from cryptography import x509


def ends_at(certificate: Path) -> float:
    """Unix time, of the first certificate in a PEM file: the server's own. Raises `OSError`, `ValueError`."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
