"""The certificate of listeners that speak TLS themselves (RTMPS): the operator's, or one of our own making.

Our own is for trying things out and for encoders that do not check: it is made once, kept, and made again a month
before it ends. The private key is readable by its owner only, from its first byte on.
"""

import datetime
import ipaddress
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = datetime.timedelta(days=825)  # Apple's systems take none that lives longer
_RENEW = datetime.timedelta(days=30)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and above. Raises OSError or ssl.SSLError when the files are not a certificate and its key."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def ensure_self_signed(folder: Path, names: Sequence[str] = ("localhost",)) -> tuple[Path, Path]:
    """Certificate and key in `folder`, made when there are none or when they end soon."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    if not _is_good(certificate, key):
        folder.mkdir(parents=True, exist_ok=True)
        _make(certificate, key, names)
    return certificate, key


def _is_good(certificate: Path, key: Path) -> bool:
    try:
        kept = x509.load_pem_x509_certificate(certificate.read_bytes())
        server_context(certificate, key)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    return kept.not_valid_after_utc - _RENEW > datetime.datetime.now(datetime.UTC)


def _make(certificate: Path, key: Path, names: Sequence[str]) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # encoders' clocks are late
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem, 0o600)
    _write(certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all: two processes may make theirs at once, and the last pair's parts may mix; `_is_good` sees
    that at the next start."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
