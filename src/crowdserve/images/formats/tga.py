"""TGA, which has no signature: a header that makes sense, or the last bytes of its second version."""

import struct

_FOOTER = b"TRUEVISION-XFILE"
_HEADER = struct.Struct("<BBBHHBHHHHBB")
_FOOTER_AT = -18

_WITH_PALETTE, _IN_RUNS = (1, 9), 8
_KINDS = (*_WITH_PALETTE, 2, 3, 10, 11)
_DEPTHS = (8, 15, 16, 24, 32)
_UNUSED_BITS = 0xC0


def is_tga(data: bytes) -> bool:
    """Whether a file of no other kind is a TGA."""
    if data[_FOOTER_AT:].startswith(_FOOTER):
        return True
    if len(data) < _HEADER.size:
        return False
    name, has_palette, kind, first, colours, palette_bits, _, _, width, height, depth, flags = _HEADER.unpack_from(data)
    if has_palette > 1 or kind not in _KINDS or depth not in _DEPTHS or flags & _UNUSED_BITS or not width * height:
        return False
    if has_palette != (kind in _WITH_PALETTE) or (not has_palette and (first or colours or palette_bits)):
        return False
    pixels = 0 if kind & _IN_RUNS else width * height * ((depth + 7) // 8)
    return bool(len(data) >= _HEADER.size + name + colours * ((palette_bits + 7) // 8) + pixels)
