"""Colour profiles made for tests: matrices with other primaries, a grey gamma, a printer's table."""

import struct

from PIL import ImageCms

from bolid_data.colour import display_p3

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_primaries(*primaries: tuple[float, float, float]) -> bytes:
    """sRGB's profile with other red, green and blue (XYZ, adapted to D50)."""
    table = bytearray(SRGB)
    for tag, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
        at = _places(table)[tag] + 8
        table[at : at + 12] = struct.pack(">iii", *(round(value * 65536) for value in values))
    return bytes(table)


def _places(table: bytearray) -> dict[bytes, int]:
    count = struct.unpack(">I", table[128:132])[0]
    return {bytes(table[at : at + 4]): struct.unpack(">I", table[at + 4 : at + 8])[0]
            for at in range(132, 132 + 12 * count, 12)}  # fmt: skip


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    common = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"wtpt": _xyz(0.9642, 1, 0.8249),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
    }
    tags = common | tags
    directory, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        directory += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = start + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, kind, space, connection) + struct.pack(
        ">6H", 2024, 1, 1, 0, 0, 0
    )
    head += b"acsp" + b"APPL" + bytes(4 * 6) + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + directory + data


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *(round(value * 65536) for value in values))


def grey(gamma: float) -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def cmyk() -> bytes:
    """A printer whose inks are not what simple arithmetic takes them for: a table of 2 × 2 × 2 × 2 points to Lab."""
    table = b""
    for c in (0, 1):
        for m in (0, 1):
            for y in (0, 1):
                for k in (0, 1):
                    light = max(0.0, 100 - 38 * c - 47 * m - 8 * y - 85 * k)
                    a, b = (-37 * c + 70 * m - 4 * y) * (1 - k), (-45 * c - 3 * m + 88 * y) * (1 - k)
                    table += bytes(
                        (round(light * 2.55), max(0, min(255, round(a) + 128)), max(0, min(255, round(b) + 128)))
                    )
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + ramp * 4 + table + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


PROFILES = {
    "display_p3": display_p3(),
    "adobe_rgb": with_primaries((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    "swapped": with_primaries((0.14307, 0.06061, 0.71410), (0.38515, 0.71688, 0.09708), (0.43607, 0.22249, 0.01392)),
}
