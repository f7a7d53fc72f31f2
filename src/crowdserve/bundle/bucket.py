"""A prefix of an S3 bucket as a store of bundles.

boto3 finds credentials, region and endpoint as every AWS tool does: environment, ~/.aws, the role of a pod. For an
S3 other than Amazon's set `AWS_ENDPOINT_URL_S3`.
"""

import base64
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from crowdserve.bundle.manifest import FileEntry
from crowdserve.bundle.tar_reader import CHUNK_BYTES
from crowdserve.certificates import certificate_problem, write_authorities
from crowdserve.errors import BundleError, PlatformError
from crowdserve.scratch import Scratch

SCHEME = "s3://"
_SHA256 = "sha256"
"""Key of an object's metadata; not every store that speaks S3 keeps S3's own checksums."""


class BucketStore:
    """A prefix of a bucket; a context manager.

    Args:
        address: ``s3://bucket/prefix``.
        ca_file: Certificates of authorities to trust besides the usual ones, in PEM.

    Raises:
        BundleError: If the address has no bucket or no prefix.
        PlatformError: If boto3 is not installed.
    """

    def __init__(self, address: str, *, ca_file: Path | None = None) -> None:
        self._bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
        self._prefix = prefix.strip("/")
        if not self._bucket or not self._prefix:
            raise BundleError(f"{address} names no folder in a bucket; expected {SCHEME}BUCKET/PREFIX")
        self.address = f"{SCHEME}{self._bucket}/{self._prefix}"
        if importlib.util.find_spec("boto3") is None:
            raise PlatformError("S3 needs boto3, which is not installed; run: pip install 'crowdserve[bundle]'")
        import boto3  # type: ignore[import-untyped]

        self._ca_file = ca_file
        self._scratch = Scratch("authorities") if ca_file else None
        with self._errors_reported():
            self._client: Any = boto3.client("s3", verify=self._authorities())

    def __enter__(self) -> "BucketStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()
        if self._scratch is not None:
            self._scratch.close()

    def listing(self) -> dict[str, str]:
        """SHA-256 of every object under the prefix, from its metadata."""
        with self._errors_reported():
            return {path: self._sha256(f"{self._prefix}/{path}") for path in self.names()}

    def names(self) -> list[str]:
        """The paths of every object under the prefix."""
        with self._errors_reported():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}/"
            )
            keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
            return [key.removeprefix(f"{self._prefix}/") for key in keys]

    def read(self, path: str) -> Iterator[bytes]:
        """Download an object, in chunks."""
        with self._errors_reported():
            body = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{path}")["Body"]
            yield from body.iter_chunks(CHUNK_BYTES)

    def put(self, path: str, file: Path, entry: FileEntry) -> None:
        """Upload a file; Amazon's S3, and most others, compare what arrives with its SHA-256."""
        with self._errors_reported(), file.open("rb") as content:
            self._client.put_object(
                Bucket=self._bucket,
                Key=f"{self._prefix}/{path}",
                Body=content,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(bytes.fromhex(entry.sha256)).decode(),
                Metadata={_SHA256: entry.sha256},
            )

    def _authorities(self) -> str | None:
        """A file with the usual authorities and those of the user, as boto3 takes them; None for its own choice."""
        if self._ca_file is None or self._scratch is None:
            return None
        together = self._scratch.folder / "authorities.pem"
        write_authorities(together, self._ca_file)
        return str(together)

    def _sha256(self, key: str) -> str:
        metadata = self._client.head_object(Bucket=self._bucket, Key=key)["Metadata"]
        return str(metadata.get(_SHA256, "unknown"))

    @contextmanager
    def _errors_reported(self) -> Iterator[None]:
        """Turn boto3's errors, which name the refused operation, into a `BundleError`."""
        from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error, ValueError) as err:
            if problem := certificate_problem(err, self._ca_file):
                raise BundleError(f"{self.address}: {problem}") from err
            raise BundleError(
                f"{self.address}: {err}; check the bucket, the credentials (AWS_PROFILE or AWS_ACCESS_KEY_ID …) and, "
                "for an S3 other than Amazon's, AWS_ENDPOINT_URL_S3"
            ) from err
