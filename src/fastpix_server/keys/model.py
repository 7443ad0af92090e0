"""A signing key, before and after its private half has left us."""

import dataclasses
from datetime import datetime


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """What we keep: `public_pem` is SubjectPublicKeyInfo. A key never changes; it exists or it does not."""

    id: str
    workspace_id: str
    public_pem: str
    created_at: datetime


@dataclasses.dataclass(frozen=True, slots=True)
class KeyPair:
    """RSA-2048 as PEM texts: PKCS#8 without a password, and SubjectPublicKeyInfo."""

    private_pem: str = dataclasses.field(repr=False)
    public_pem: str


@dataclasses.dataclass(frozen=True, slots=True)
class NewSigningKey:
    """A key just made. The only moment at which its private half can be read."""

    key: SigningKey
    private_pem: str = dataclasses.field(repr=False)
