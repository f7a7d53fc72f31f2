"""A network's version as replies tell it: ``1+openvino-bf16``, or ``1`` where Triton does not say what runs it."""


def join_version(version: str, execution: str) -> str:
    """The text in a reply's `models`.

    Args:
        version: Triton's version number.
        execution: Runtime and precision, such as ``openvino-bf16``; empty if unknown.
    """
    return f"{version}+{execution}" if execution else version


def split_version(text: str) -> tuple[str, str]:
    """Version number and execution of a text of `join_version`."""
    version, _, execution = text.partition("+")
    return version, execution
