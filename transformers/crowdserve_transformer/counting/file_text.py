"""Files that are base64 text: the mistake of clients that encode once more than the form of the request asks for."""

import re

from crowdserve.errors import InvalidImage

_LOOKED_AT_BYTES = 64
_BASE64 = re.compile(rb"(?!--)(data:[\w/;.+-]*,)?[A-Za-z0-9+/_\-\r\n]{20,}={0,2}[\r\n]*")
"""No picture begins like that, nor does the boundary line of a camera's stream."""


def check_is_no_text(file: bytes) -> None:
    """Refuse a file that is the base64 of one.

    Raises:
        InvalidImage: If it is.
    """
    if _BASE64.fullmatch(file[:_LOOKED_AT_BYTES]):
        raise InvalidImage(
            f"the image is base64 text (it starts with {file[:16].decode()!r}) where its bytes should be: in binary "
            "tensors, gRPC and bodies that are a photo send them as they are, inside JSON encode them once"
        )
