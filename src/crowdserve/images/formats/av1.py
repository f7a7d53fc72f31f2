"""How an AVIF is coded, which Pillow does not tell."""

_CONFIGURATION = b"av1C"
_FLAGS_AT = len(_CONFIGURATION) + 2
_HIGH_BIT_DEPTH = 0x40


def has_deep_samples(data: bytes) -> bool:
    """Whether an AVIF has 10 or 12 bits per sample, by the first configuration in it."""
    at = data.find(_CONFIGURATION)
    flags = data[at + _FLAGS_AT : at + _FLAGS_AT + 1] if at >= 0 else b""
    return bool(flags) and bool(flags[0] & _HIGH_BIT_DEPTH)
