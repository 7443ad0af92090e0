"""Configurations as x264, x265 and SVT-AV1 wrote them for small pictures, and a valid sample for each."""

from fastpix_server.ingest import sound
from fastpix_server.ingest.model import Track

AVCC = bytes.fromhex("014d400cffe10019674d400ceca0a0cfcf80880000030008000003019078a14cb001000468ce0fc8")
AVCC_160 = bytes.fromhex("014d400bffe10017674d400beca146fc9808800000030080000019078a14cb01000468ce0fc8")
SPS_1080 = bytes.fromhex("674d4028eca03c0113f2e022000003000200000300641e30632c")
SPS_1080_INTERLACED_422_10 = bytes.fromhex("677a0028b6cd94078044fcb808800000030080000019 0f8b16cb".replace(" ", ""))
HVCC = bytes.fromhex(
    "010160000000900000000000" "3cf000fcfdf8f800000f03a00001001840010c01ffff016000000300900000030000"
    "03003c959009a10001002b420101016000000300900000030000" "03003ca00a080c1f3e595912930bc05a02000003000200000300"
    "3210a20001000644" "01c073c189"
)  # fmt: skip
HEVC_SPS_1080 = bytes.fromhex("420101016000000300900000030000030078a003c0801107cb965644a4c2f0168080000003008000000c84")
AV1C = bytes.fromhex("81000c000a0b0200000521e7f66017c002")

TRACKS = {
    "h264": Track("h264", AVCC, 320, 180),
    "hevc": Track("hevc", HVCC, 320, 180),
    "av1": Track("av1", AV1C, 320, 180),
    "aac": Track("aac", b"\x11\x90", sample_rate_hz=48000, channels=2),
    "opus": sound.opus_track(2),
}
_UNIT = (6).to_bytes(4, "big")
DATA = {
    "h264": _UNIT + b"\x65coded",
    "hevc": _UNIT + b"\x26\x01code",
    "av1": b"\x32\x04code",
    "aac": b"frame",
    "opus": b"\xfcpacket",
}
