"""Any client that follows the protocol, however unlucky, ends with exactly its own bytes stored."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fastpix_server.media.upload_protocol import Ask, Begin, Cancel, Finish, Reply, Session, Store, after, decide

MAX = 1 << 20


class Server:
    """The protocol over a bytearray: appends as staging does, skipping what is stored."""

    def __init__(self) -> None:
        self.stored = bytearray()
        self.total: int | None = None
        self.is_complete = False

    def request(self, ask: Ask, body: bytes, *, cut_at: int | None = None) -> Reply | None:
        """None is a connection that broke after `cut_at` bytes of the body."""
        status = "completed" if self.is_complete else "waiting"
        decision = decide(ask, Session(status, len(self.stored), self.total, MAX))
        if isinstance(decision, Store):
            self.total = decision.total_bytes
            length = len(body) if decision.length is None else decision.length
            arrived = body[:length] if cut_at is None else body[:length][:cut_at]
            assert decision.offset <= len(self.stored)
            self.stored += arrived[len(self.stored) - decision.offset :]
            if cut_at is not None:
                return None
            decision = after(
                decision,
                received_bytes=len(arrived),
                has_extra=len(body) > length,
                durable_bytes=len(self.stored),
            )
        assert not isinstance(decision, Begin | Cancel | Store)
        if isinstance(decision, Finish):
            assert decision.total_bytes == len(self.stored)
            self.is_complete = True
            return Reply(200)
        return decision


steps = st.lists(
    st.tuples(
        st.sampled_from(["chunk", "chunk", "query", "again", "ahead", "whole"]),
        st.integers(0, 600),  # where, relative to what the client believes
        st.integers(1, 900),  # how much
        st.one_of(st.none(), st.none(), st.integers(0, 900)),  # where the connection breaks
        st.booleans(),  # does the chunk name the total?
        st.booleans(),  # does the request name its length?
    ),
    max_size=40,
)


@settings(max_examples=4 * settings.default.max_examples)
@given(st.binary(min_size=1, max_size=2000), steps)
def test_random_chunks_breaks_overlaps_and_gaps_end_in_the_same_bytes(
    file: bytes, plan: list[tuple[str, int, int, int | None, bool, bool]]
) -> None:
    server, total = Server(), len(file)
    for kind, where, much, cut_at, names_total, names_length in plan:
        if kind == "query":
            reply = server.request(Ask("PUT", f"bytes */{total}", 0), b"")
        elif kind == "whole":
            reply = server.request(Ask("PUT", None, total if names_length else None), file, cut_at=cut_at)
        else:
            base = len(server.stored)
            first = {"chunk": base, "again": max(0, base - where), "ahead": base + where}[kind]
            last = min(first + much, total) - 1
            if last < first:
                continue
            body = file[first : last + 1]
            ask = Ask(
                "PUT",
                f"bytes {first}-{last}/{total if names_total else '*'}",
                len(body) if names_length else None,
            )
            reply = server.request(ask, body, cut_at=cut_at)
        assert bytes(server.stored) == file[: len(server.stored)]
        if reply is not None:
            assert reply.status in (200, 308)
            assert (reply.status == 200) == server.is_complete
            if reply.status == 308:
                assert reply.durable_bytes == len(server.stored)
    for _ in range(3):  # whatever happened: ask, send the rest, done
        reply = server.request(Ask("PUT", f"bytes */{total}", 0), b"")
        assert reply is not None
        if reply.status == 200:
            break
        rest = file[reply.durable_bytes :]
        server.request(Ask("PUT", f"bytes {reply.durable_bytes}-{total - 1}/{total}", len(rest)), rest)
    assert server.is_complete
    assert bytes(server.stored) == file
