"""Losses of RTP: packets in any order give whole pictures in order, and every loss ends with a key frame."""

import random

from fastpix_server.ingest import rtp_recovery
from fastpix_server.ingest.rtp_recovery import (
    ASK_AGAIN_S,
    FIRST_KEY_S,
    HOLE_S,
    KEY_EVERY_S,
    Assembly,
    KeyFrames,
    Missing,
    Packet,
)


def stream(pictures: int, per_picture: int = 3, first: int = 65_530, *, marks: bool = True) -> list[Packet]:
    """Pictures whose data names them; numbers wrap soon."""
    return [
        Packet((first + k * per_picture + n) % 65_536, 3000 * k, marks and n == per_picture - 1, 96, b"%d.%d " % (k, n))
        for k in range(pictures)
        for n in range(per_picture)
    ]


class Putting:
    """An assembly and what it gave, with `GAP` where it said so."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.assembly = Assembly(
            lambda data, _stamp, _type: self.out.append(data.decode().strip()), lambda: self.out.append("GAP")
        )

    def put(self, packets: list[Packet], *, from_s: float = 0.0, step_s: float = 0.01) -> bool:
        """Whether a key frame was asked for."""
        return sum(self.assembly.add(packet, from_s + step_s * k) for k, packet in enumerate(packets)) > 0


def whole(*numbers: int) -> list[str]:
    return [f"{k}.0 {k}.1 {k}.2" for k in numbers]


def test_packets_in_any_order_and_twice_are_pictures_in_order():
    packets = stream(20)
    chance = random.Random(1)
    mixed = [*packets[:1], *sorted(packets[1:], key=lambda p: packets.index(p) + chance.uniform(0, 8)), *packets[30:40]]
    putting = Putting()
    assert not putting.put(mixed)
    assert putting.out == whole(*range(20))


def test_a_picture_comes_with_its_last_packet_and_without_marks_with_the_next_one_s_first():
    putting = Putting()
    putting.put(stream(2)[:3])
    assert putting.out == whole(0)
    unmarked = Putting()
    unmarked.put(stream(3, marks=False)[:7])
    assert unmarked.out == whole(0, 1)


def test_a_hole_is_given_up_by_time_however_little_comes_behind_it():
    """25 single packets a second: what waits for 512 packets would stand for 20 s, and be 20 s late for ever."""
    packets = stream(60, per_picture=1)
    del packets[10]
    putting = Putting()
    assert putting.put(packets, step_s=0.04)
    at = putting.out.index("GAP")
    assert putting.out[:at] == [f"{k}.0" for k in range(10)]
    # The picture right behind the hole may lack its first packets.
    assert putting.out[at + 1 :] == [f"{k}.0" for k in range(12, 60)]
    assert putting.out[-1] == "59.0", "and from then on nothing is late"


def test_a_hole_is_given_up_when_nothing_more_comes_and_by_number_when_too_much_does():
    silent = Putting()
    silent.put(stream(4)[:4] + stream(4)[5:])
    assert silent.out == whole(0)
    assert not silent.assembly.look(HOLE_S)
    assert silent.assembly.look(HOLE_S + 0.1)
    assert silent.out == [*whole(0), "GAP", *whole(2, 3)]
    flood = Putting()
    flooded = stream(2 + rtp_recovery.MAX_PACKETS, per_picture=1)
    del flooded[1]
    assert flood.put(flooded, step_s=0.0)
    assert len(flood.assembly._packets) <= rtp_recovery.MAX_PACKETS


def test_a_retransmission_in_time_mends_the_hole():
    packets = stream(5)
    late = packets.pop(4)
    putting = Putting()
    assert not putting.put([*packets, late], step_s=HOLE_S / 20)
    assert putting.out == whole(*range(5))


def test_two_holes_are_two_gaps_and_numbers_that_jump_begin_again():
    packets = [p for k, p in enumerate(stream(9)) if k not in (4, 13)]
    putting = Putting()
    putting.put(packets)
    putting.assembly.look(HOLE_S + 1)
    putting.assembly.look(2 * HOLE_S + 2)
    assert putting.out == [*whole(0), "GAP", *whole(2, 3), "GAP", *whole(5, 6, 7, 8)]
    assert putting.put(stream(3, first=30_000), from_s=9.0)
    assert putting.out[-3:] == ["GAP", *whole(1, 2)]


def test_padding_is_no_picture():
    packets = stream(3)
    packets.insert(3, Packet(0, 0, False, 96, b""))
    putting = Putting()
    putting.put([packet._replace(number=number) for number, packet in enumerate(packets)])
    assert putting.out == whole(0, 1, 2)


def test_a_missing_packet_is_asked_for_again_until_it_comes_or_too_often():
    missing = Missing()
    assert not missing.add(65_534, 0.0)
    assert missing.add(1, 0.0)
    assert missing.due == [65_535, 0]
    assert not missing.add(2, ASK_AGAIN_S / 2)
    assert not missing.add(0, ASK_AGAIN_S / 2)
    asked = [list(missing.due) if missing.add(3 + k, ASK_AGAIN_S * (1 + 0.6 * k)) else [] for k in range(50)]
    assert asked == [[65_535], []] * (rtp_recovery.MAX_ASKS - 1) + [[]] * (50 - 2 * (rtp_recovery.MAX_ASKS - 1))


def test_an_outage_is_not_asked_for_packet_by_packet():
    missing = Missing()
    missing.add(0, 0.0)
    missing.add(2000, 0.0)
    assert len(missing.due) == rtp_recovery.MAX_MISSING
    assert not missing.add(20_000, 0.0), "another stream"


def asked_at(keys: KeyFrames, from_s: float, until_s: float) -> list[float]:
    moments = [from_s + k / 4 for k in range(round((until_s - from_s) * 4))]
    return [now_s for now_s in moments if keys.is_due(now_s)]


def test_a_key_frame_is_asked_for_with_back_off_until_it_comes():
    keys = KeyFrames()
    assert asked_at(keys, 0.0, 20.0) == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5]
    keys.came(20.0)
    assert asked_at(keys, 20.0, 21.25) == [20.0 + FIRST_KEY_S], "viewers wait for the first segment"
    keys.came(21.25)
    assert asked_at(keys, 21.25, 25.0) == [21.25 + KEY_EVERY_S, 23.75, 24.75]
    keys.came(25.0)
    keys.lost()
    keys.lost()
    assert asked_at(keys, 25.0, 27.0) == [25.0, 25.5, 26.5]
