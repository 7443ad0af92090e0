"""Reading fields of a few bits out of what a peer sent, and the one error for a peer whose bytes make no sense.

Invariants: nothing is read past the end; no loop is longer than the data. Every parser of this room raises `Malformed`
and nothing else, whatever it is fed; who holds the connection drops it.
"""

_MAX_GOLOMB_ZEROS = 32  # H.264 and HEVC have no field wider than 32 bits


class Malformed(ValueError):
    """What the peer sent is not what it says it is, or is larger than we take. The text has no secret in it."""


class BitReader:
    """Big-endian bit fields, Exp-Golomb codes included (ITU-T H.264, 9.1)."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    @property
    def left(self) -> int:
        return self._left

    def read(self, bits: int) -> int:
        if bits > self._left:
            raise Malformed("the data ends within a field")
        self._left -= bits
        return (self._value >> self._left) & ((1 << bits) - 1)

    def flag(self) -> bool:
        return self.read(1) == 1

    def skip(self, bits: int) -> None:
        if bits > self._left:
            raise Malformed("the data ends within a field")
        self._left -= bits

    def unsigned(self) -> int:
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > _MAX_GOLOMB_ZEROS:
                raise Malformed("a variable-length field is too long")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)
