"""Who may see what, quickly: a bounded cache in front of the tables, dropped entry by entry when something changes.

Invariants: a deletion bites at once where notifications arrive, and within TTL_S where they do not; an answer that was
read before a change is never kept after it; unknown ids have a cache of their own, so that guessing ids cannot push
the real ones out.
"""

import asyncio
import dataclasses
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, Protocol, TypedDict, TypeVar

from prometheus_client import Counter

from fastpix_server.base import errors, ids, log
from fastpix_server.base.errors import FieldError
from fastpix_server.db.notify import Listener
from fastpix_server.db.pool import Database
from fastpix_server.keys import tokens
from fastpix_server.keys.door import TokenDoor
from fastpix_server.keys.tokens import Purpose
from fastpix_server.playback import gate, signed_path, store
from fastpix_server.playback.artifacts import InitOf, Protected, SegmentOf
from fastpix_server.playback.model import PlaybackId, Target
from fastpix_server.playback.service import CHANGED
from fastpix_server.playback.signed_path import PICTURES, PathKeys
from fastpix_server.playback.targets import LIVE_SESSION_S, AnyTarget, LiveSession, LiveTarget, RecordedTarget

_log = log.get(__name__)

# Long enough to spare the database a busy id, short enough that a lost notification does no harm.
TTL_S = 5.0
# About 1 kB each.
MAX_IDS = 20_000
MAX_UNKNOWN = 20_000
# A plan of a 12-hour film is about 3 MB in memory, one of ten minutes 50 kB.
MAX_TARGETS = 256
# A refusal is a line in the log once in this time per id and reason; every one is counted.
TELL_EVERY_S = 10.0
MAX_TOLD = 1000
# Tokens that one request may bring for the items of a playlist: an address holds about ten, a long one of ours a few
# more; what is beyond counts as not brought.
MAX_TOKENS = 50
# Tokens of one minute share their paths below a live stream, so that a cache in front of us is of use.
LIVE_ROUND_S = 60

_refusals = Counter("fastpix_playback_refusals", "Requests that the gate refused, by its reason.", ["reason"])

V = TypeVar("V")


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """What a request brings to be let in: the texts of its `token` parameters, or the pass that its path lies under.

    `scope` is what the pass has to be for: a revision, or PICTURES. `cookie` is a pass for pictures that came with a
    request for one; it counts only where there is neither token nor path.
    """

    tokens: tuple[str, ...] = ()
    path: str | None = None
    scope: str = ""
    cookie: str | None = None


NOTHING = Brought()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What a request may see: the id it came by; each kind of target behind it is a class below.

    `path_expires_at_s` is set when the request itself came by a signed path, `has_token` when a token opened the id.
    `passes` makes what this viewer's children get; None where the id is open to everybody, who need none.
    """

    playback_id: PlaybackId
    revision: str
    passes: "Passes | None"
    path_expires_at_s: int | None = None
    has_token: bool = False

    @property
    def is_open(self) -> bool:
        return self.passes is None

    @property
    def folder(self) -> str:
        """Where the manifest's URIs lie, from the root of the host."""
        if self.passes is None:
            return f"{self.playback_id.id}/{self.revision}"
        return f"{self.playback_id.id}/{self.passes.sign(self.revision)}/{self.revision}"

    @property
    def picture_pass(self) -> str | None:
        """What opens the pictures of this id without a token."""
        return None if self.passes is None else self.passes.sign(PICTURES)

    @property
    def pictures_folder(self) -> str:
        """Where pictures lie that are asked for without a token."""
        passed = self.picture_pass
        return self.playback_id.id if passed is None else f"{self.playback_id.id}/{passed}"

    def shown(self, clear: SegmentOf | InitOf) -> SegmentOf | InitOf | Protected:
        """What stands for a segment or header under this id: nothing of an encrypted id is ever shown in the clear."""
        return Protected(clear) if self.playback_id.access_policy == "drm" else clear


class _Lasting(Protocol):
    """What knows how long it is, when it is asked."""

    @property
    def duration_s(self) -> float: ...


class _Unending:
    """A broadcast: its passes last as long as the longest session, or as the token that it was opened with."""

    duration_s = LIVE_SESSION_S


_UNENDING = _Unending()


@dataclasses.dataclass(frozen=True, slots=True)
class Passes:
    """Signs when it is asked to: most answers (segments) hand on nothing."""

    keys: PathKeys
    playback_id: str
    kid: str | None
    thing: _Lasting
    now_s: float
    ends_at_s: int | None = None

    @property
    def expires_at_s(self) -> int:
        needed_s = signed_path.expiry_s(self.thing.duration_s, self.now_s)
        return needed_s if self.ends_at_s is None else min(needed_s, self.ends_at_s)

    def sign(self, scope: str) -> str:
        return self.keys.sign(self.playback_id, scope, self.expires_at_s, self.kid)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Playable(Admitted):
    """Planned: segments are made when they are asked for."""

    target: Target


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPlayable(Admitted):
    """A closed list of stored segments: a recording or a clip, or the last session of a live stream that is over."""

    target: RecordedTarget


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LivePlayable(Admitted):
    """A session that some process has in memory: it runs, or ended a moment ago."""

    target: LiveTarget
    session: LiveSession
    origin: str


AnyPlayable = Playable | RecordedPlayable | LivePlayable


class _Shown(TypedDict):
    """The fields of Admitted beside the id."""

    revision: str
    passes: Passes | None
    path_expires_at_s: int | None
    has_token: bool


def _stored(found: PlaybackId, target: Target | RecordedTarget, shown: _Shown) -> Playable | RecordedPlayable:
    if isinstance(target, Target):
        return Playable(playback_id=found, target=target, **shown)
    if found.access_policy == "drm":  # its segments are stored in the clear, and nothing encrypts them
        raise errors.NotFound("Recordings are not served encrypted.")
    return RecordedPlayable(playback_id=found, target=target, **shown)


class _Lru(Generic[V]):
    """Least recently used goes first at `size`; entries older than `ttl_s` count as absent."""

    def __init__(self, size: int, ttl_s: float) -> None:
        self._size = size
        self._ttl_s = ttl_s
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def get(self, key: str) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] < time.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: str, value: V) -> None:
        self._entries[key] = (time.monotonic() + self._ttl_s, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


class _Lookups(Generic[V]):
    """A thousand viewers of one thing, whose entry has just run out, read it once.

    Whoever asks after a change (`drop`) reads anew, and never joins a lookup from before it.
    """

    def __init__(self, read: Callable[[str], Coroutine[Any, Any, V]]) -> None:
        self._read = read
        self._under_way: dict[str, asyncio.Task[V]] = {}

    async def get(self, key: str) -> V:
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._read(key))
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def drop(self, key: str) -> None:
        self._under_way.pop(key, None)

    def clear(self) -> None:
        self._under_way.clear()

    def _forget(self, key: str, done: asyncio.Task[V]) -> None:
        if self._under_way.get(key) is done:
            del self._under_way[key]
        if not done.cancelled():
            done.exception()  # everybody who waited has heard it; nobody may have


class Admission:
    """Answers for every request of an edge. Make it before `listener.start()`. `now_s` is the wall clock."""

    def __init__(
        self,
        db: Database,
        listener: Listener,
        *,
        path_keys: PathKeys,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self._db = db
        self._path_keys = path_keys
        self._now_s = now_s or time.time
        self._door = TokenDoor(db, listener, now_s=self._now_s)
        self._told: _Lru[bool] = _Lru(MAX_TOLD, TELL_EVERY_S)
        self._ids: _Lru[PlaybackId] = _Lru(MAX_IDS, TTL_S)
        self._unknown: _Lru[bool] = _Lru(MAX_UNKNOWN, TTL_S)
        self._targets: _Lru[AnyTarget] = _Lru(MAX_TARGETS, TTL_S)
        self._changes = 0
        self._id_lookups: _Lookups[PlaybackId | None] = _Lookups(self._read_id)
        self._target_lookups: _Lookups[AnyTarget | None] = _Lookups(self._read_target)
        listener.on(CHANGED, self._on_changed)
        listener.on_reconnect(self._on_reconnect)

    async def admit(
        self, playback_id: str, viewer: gate.Viewer, brought: Brought = NOTHING, *, purpose: Purpose = "media"
    ) -> AnyPlayable:
        """Raises Invalid (not an id), Unauthorized, Forbidden, NotFound (deleted) or BadState (not ready).

        `purpose` drm: for licences and certificates, which a token for the video alone does not open.
        """
        if not ids.is_uuid(playback_id):
            raise errors.Invalid(FieldError("playbackId", "is invalid"))
        found = await self._find_id(playback_id)
        if found is None:
            raise errors.Unauthorized("There is no such playback id.")
        if found.is_deleted:
            raise errors.NotFound("This playback id was deleted.", message="playbackId not found")
        credential = await self._check(found, viewer, brought, purpose)
        target = await self._find_target(found.target_id)
        if isinstance(target, LiveTarget):
            return await self._live(found, target, credential, brought)
        if target is None:
            raise errors.BadState(
                "The media behind this playback id is still being prepared, or it failed.", message="media is not ready"
            )
        return _stored(found, target, self._shown(found, target.revision, target, credential, brought))

    async def openable(
        self, named: Sequence[PlaybackId], viewer: gate.Viewer, texts: Sequence[str]
    ) -> dict[str, int | None]:
        """Which of these ids of one workspace the gate would let this viewer into, and which of the tokens opens it
        (None: it needs none). Encrypted ids are never among them. Nobody is refused by this, so nothing is logged.

        Each token is proven once and tried for the ids that it names: the cost is that of tokens plus ids, not of
        their product.
        """
        if not named:
            return {}
        by_id: dict[str, int] = {}
        checks = (self._door.genuine(text, named[0].workspace_id) for text in texts[:MAX_TOKENS])
        for n, proven in enumerate(await asyncio.gather(*checks)):
            if isinstance(proven, tokens.Genuine):
                for playback_id in tokens.named_ids(proven):
                    by_id.setdefault(playback_id, n)
        found: dict[str, int | None] = {}
        for one in named:
            token = None if one.access_policy == "public" else by_id.get(one.id)
            credential = await self._credential(one, NOTHING if token is None else Brought(tokens=(texts[token],)))
            decision = gate.decide(one.access_policy, credential, one.access_restrictions, viewer, self._now_s())
            if isinstance(decision, gate.Allowed) and one.access_policy != "drm":
                found[one.id] = token
        return found

    async def _live(
        self, found: PlaybackId, target: LiveTarget, credential: gate.Credential, brought: Brought
    ) -> AnyPlayable:
        """The session that runs, or ran last: from the process that has it, or else what was recorded of it."""
        session = target.session
        if session is None:
            raise errors.BadState("The live stream has not begun yet.", message="live stream is not ready")
        shown = self._shown(found, session.revision, _UNENDING, credential, brought)
        if session.origin is not None:
            return LivePlayable(playback_id=found, target=target, session=session, origin=session.origin, **shown)
        recorded = await self._find_target(session.id)
        if not isinstance(recorded, RecordedTarget):
            raise errors.BadState("The live stream is over.", message="live stream is not ready")
        return _stored(found, recorded, shown)

    async def _check(
        self, found: PlaybackId, viewer: gate.Viewer, brought: Brought, purpose: Purpose
    ) -> gate.Credential:
        """What opened it. Raises Unauthorized or Forbidden."""
        credential = await self._credential(found, brought)
        decision = gate.decide(
            found.access_policy, credential, found.access_restrictions, viewer, self._now_s(), purpose=purpose
        )
        # A bad pass is refused for a public id too: a file has one address, not one for every wrong pass.
        if isinstance(decision, gate.Allowed) and isinstance(credential, gate.Refused):
            if credential.reason == "path_malformed":
                raise errors.NotFound("There is no such file.")
            decision = credential
        if isinstance(decision, gate.Refused):
            self._refuse(found, decision)
        return credential

    async def _credential(self, found: PlaybackId, brought: Brought) -> gate.Credential:
        if brought.path is not None:
            return await self._passed(found, brought.path, brought.scope)
        if found.access_policy == "public":
            return None
        if not any(brought.tokens):
            return None if brought.cookie is None else await self._passed(found, brought.cookie, PICTURES)
        if len(brought.tokens) > 1:  # which of them a proxy in front has looked at is not known
            return gate.Refused("token_malformed")
        claims = await self._door.admit(brought.tokens[0], found.id, found.workspace_id)
        return gate.Refused(claims.reason) if isinstance(claims, tokens.Refused) else claims

    async def _passed(self, found: PlaybackId, text: str, scope: str) -> gate.Credential:
        passed = self._path_keys.check(text, found.id, scope, self._now_s())
        if isinstance(passed, signed_path.Refused):
            return gate.Refused(passed.reason)
        if passed.kid is not None and not await self._door.is_living(passed.kid, found.workspace_id):
            return gate.Refused("token_key_unknown")
        return passed

    def _refuse(self, found: PlaybackId, refused: gate.Refused) -> None:
        reason = refused.reason
        _refusals.labels(reason).inc()
        if not self._told.get(f"{found.id} {reason}"):
            self._told.put(f"{found.id} {reason}", True)
            _log.info("playback_refused", playback_id=found.id, workspace_id=found.workspace_id, reason=reason)
        if gate.status_of(reason) == 401:
            raise errors.Unauthorized(f"This playback id needs a valid token ({reason}).")
        what = "this website" if reason == "domain" else "this user agent"
        raise errors.Forbidden(f"The owner does not allow playback from {what}.")

    def _shown(
        self, found: PlaybackId, revision: str, thing: "_Lasting", credential: gate.Credential, brought: Brought
    ) -> "_Shown":
        if gate.is_open(found.access_policy, found.access_restrictions):
            return _Shown(revision=revision, passes=None, path_expires_at_s=None, has_token=False)
        kid, ends_at_s = None, None
        if credential is not None and not isinstance(credential, gate.Refused):
            kid = credential.kid
            if thing is _UNENDING:
                # A broadcast has no end of its own: a token that runs out ends it for its viewer (contract section 6).
                ends_at_s = math.ceil(credential.expires_at_s / LIVE_ROUND_S) * LIVE_ROUND_S
        # A pass in a cookie is the viewer's own: what it opened is nobody else's to keep.
        by_path = isinstance(credential, signed_path.Pass) and brought.path is not None
        return _Shown(
            revision=revision,
            passes=Passes(self._path_keys, found.id, kid, thing, self._now_s(), ends_at_s),
            path_expires_at_s=credential.expires_at_s if isinstance(credential, signed_path.Pass) and by_path else None,
            has_token=isinstance(credential, tokens.Claims),
        )

    async def _find_id(self, playback_id: str) -> PlaybackId | None:
        found = self._ids.get(playback_id)
        if found is not None or self._unknown.get(playback_id):
            return found
        return await self._id_lookups.get(playback_id)

    async def _read_id(self, playback_id: str) -> PlaybackId | None:
        changes = self._changes
        async with self._db.unit() as tx:
            found = await store.find_id(tx, playback_id)
        if changes == self._changes:
            if found is None:
                self._unknown.put(playback_id, True)
            else:
                self._ids.put(playback_id, found)
        return found

    async def _find_target(self, target_id: str) -> AnyTarget | None:
        found = self._targets.get(target_id)
        return found if found is not None else await self._target_lookups.get(target_id)

    async def _read_target(self, target_id: str) -> AnyTarget | None:
        changes = self._changes
        async with self._db.unit() as tx:
            found = await store.find_any(tx, target_id)
        if found is not None and changes == self._changes:
            self._targets.put(target_id, found)
        return found

    def _on_changed(self, payload: str) -> None:
        """`payload` is a playback id or a target's id. A lookup under way may hold the old state: it is not kept."""
        self._changes += 1
        self._ids.drop(payload)
        self._unknown.drop(payload)
        self._targets.drop(payload)
        self._id_lookups.drop(payload)
        self._target_lookups.drop(payload)

    def _on_reconnect(self) -> None:
        self._changes += 1
        self._id_lookups.clear()
        self._target_lookups.clear()
        for cache in (self._ids, self._unknown, self._targets):
            cache.clear()
