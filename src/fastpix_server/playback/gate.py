"""May this viewer see this? One pure decision, with no look at the database or the clock of its own.

Invariants: what is not clearly allowed is refused. Restrictions hold for every policy and every URL (contract section
6); a private or DRM id opens by a genuine token, or by a signed path that such a token was given, and by nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from fastpix_server.keys import tokens
from fastpix_server.keys.tokens import Claims, Purpose
from fastpix_server.playback.model import AccessPolicy
from fastpix_server.playback.restrictions import Viewer, allows_user_agent, allows_viewer, is_restricting
from fastpix_server.playback.signed_path import Pass
from fastpix_server.playback.signed_path import Reason as PathReason

__all__ = ["Allowed", "Credential", "Reason", "Refused", "Viewer", "decide", "is_open", "status_of"]

Reason = Literal["domain", "user_agent", "token_missing"] | tokens.Reason | PathReason


@dataclass(frozen=True, slots=True)
class Allowed:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason


# What a request brings: nothing, a token that was proven, a path that was checked, or one of these that was not good.
Credential = Claims | Pass | Refused | None

# What a token for the video opens where the id is private, and where it is encrypted (contract section 6: the players
# of DRM ids send one token for both).
_OPENS: Mapping[AccessPolicy, frozenset[Purpose]] = {
    "private": frozenset({"media"}),
    "drm": frozenset({"media", "drm"}),
}
_RESTRICTIONS = frozenset({"domain", "user_agent"})


def decide(
    policy: AccessPolicy,
    credential: Credential,
    restrictions: Mapping[str, object],
    viewer: Viewer,
    now_s: float,
    *,
    purpose: Purpose = "media",
) -> Allowed | Refused:
    """First who may ask at all (domain, user agent), then the policy. `purpose` drm: licences and certificates."""
    if not allows_viewer(restrictions.get("domains"), viewer):
        return Refused("domain")
    if not allows_user_agent(restrictions.get("userAgents"), viewer):
        return Refused("user_agent")
    if policy == "public":
        return Allowed()
    match credential:
        case None:
            return Refused("token_missing")
        case Refused():
            return credential
        case Claims():
            return _opened_by(policy, credential, now_s, purpose)
        case Pass():
            return _let_through(credential, now_s, purpose)
    assert_never(credential)


def is_open(policy: AccessPolicy, restrictions: Mapping[str, object]) -> bool:
    """Can nobody be refused? Then answers may be shared, and paths need no signature."""
    return policy == "public" and not any(is_restricting(restrictions.get(kind)) for kind in ("domains", "userAgents"))


def status_of(reason: Reason) -> Literal[401, 403]:
    """Contract section 5: a bad or missing token is 401, a restriction 403."""
    return 403 if reason in _RESTRICTIONS else 401


def _opened_by(policy: AccessPolicy, claims: Claims, now_s: float, purpose: Purpose) -> Allowed | Refused:
    opens = _OPENS[policy] if purpose == "media" else frozenset({purpose})
    if not claims.purposes & opens:
        return Refused("token_audience")
    return Refused("token_expired") if tokens.has_expired(claims.expires_at_s, now_s) else Allowed()


def _let_through(passed: Pass, now_s: float, purpose: Purpose) -> Allowed | Refused:
    """A path opens what it lies under; a licence does not lie under one."""
    if purpose != "media":
        return Refused("token_missing")
    if passed.kid is None:  # given out for a public id, where no token had to be shown
        return Refused("token_missing")
    return Refused("path_expired") if passed.expires_at_s <= now_s else Allowed()
