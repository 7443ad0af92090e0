"""A picture that says when it was taken: bar codes of the clock and of the frame's number, drawn and read.

The top eighth of the picture holds two rows of 32 bars, dark for 0 and bright for 1, the highest bit at the left: the
wall clock in ms (its low 32 bits), below it the number of the frame. They survive scaling and hard compression.

As a program it writes raw yuv420p pictures to stdout in real time: `clock_picture.py WIDTH HEIGHT FPS`.
"""

import sys
import time

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]

BITS = 32
# Of the height, for each of the two rows.
ROW = 1 / 16
DARK, BRIGHT = 16, 235
_PATTERNS = 60


def draw_row(luma: Gray, row: int, value: int) -> None:
    """`row` 0 is the clock, 1 the frame's number."""
    height, width = luma.shape
    top, bottom = round(height * ROW * row), round(height * ROW * (row + 1))
    edges = [round(width * bit / BITS) for bit in range(BITS + 1)]
    for bit in range(BITS):
        luma[top:bottom, edges[bit] : edges[bit + 1]] = BRIGHT if value >> (BITS - 1 - bit) & 1 else DARK


def read_row(luma: Gray, row: int) -> int:
    """What `draw_row` wrote, from the middles of the bars."""
    height, width = luma.shape
    y = round(height * ROW * (row + 0.5))
    middle = luma[y - 1 : y + 2].mean(axis=0)
    value = 0
    for bit in range(BITS):
        value = value << 1 | int(middle[int(width * (bit + 0.5) / BITS)] > 128)
    return value


def clock_ms() -> int:
    return int(time.time() * 1000) & 0xFFFF_FFFF


def patterns(width: int, height: int) -> list[bytes]:
    """Moving pictures below the codes: a drifting gradient and a falling block, which cost an encoder something."""
    y, x = np.mgrid[0:height, 0:width]
    made = []
    for n in range(_PATTERNS):
        luma = (64 + 48 * np.sin((x + 8 * n) / 37) + 48 * np.cos((y - 5 * n) / 23)).astype(np.uint8)
        top = height // 8 + (n * height // _PATTERNS) * 3 // 4
        luma[top : top + height // 8, (n * 7) % width : (n * 7) % width + width // 8] = 200
        chroma = np.full(width * height // 4, 128, np.uint8)
        made.append(luma.tobytes() + chroma.tobytes() * 2)
    return made


def feed(width: int, height: int, fps: float) -> None:
    """Writes until nobody reads any more. A late picture is written at once: the rate stays, the clock tells."""
    still = patterns(width, height)
    out = sys.stdout.buffer
    started_s = time.monotonic()
    number = 0
    while True:
        wait_s = started_s + number / fps - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        picture = np.frombuffer(bytearray(still[number % _PATTERNS]), np.uint8)
        luma = picture[: width * height].reshape(height, width)
        draw_row(luma, 0, clock_ms())
        draw_row(luma, 1, number)
        try:
            out.write(picture.data)
            out.flush()
        except (BrokenPipeError, ValueError):
            return
        number += 1


if __name__ == "__main__":
    feed(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
