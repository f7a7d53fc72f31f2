"""Bundles of the embedded profile in the store: whole ones, and broken ones of every kind."""

import os
import secrets
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from crowdserve.bundle.manifest import describe_files, read_manifest
from crowdserve.bundle.neighbours import MANIFEST_FILE
from crowdserve.bundle.unpacking import opened_bundle
from tests.cluster.kube import run
from tests.cluster.settings import ClusterSettings
from tests.support.paths import REPOSITORY

RUN = f"crowdserve-test-{secrets.token_hex(3)}"
"""Folder of this run in the store: an address holds one bundle for ever."""


def bundle_address(settings: ClusterSettings, version: str) -> str:
    """Address of a bundle of this run."""
    return f"s3://{settings.s3_bucket}/{RUN}/{version}"


@dataclass(slots=True)
class Bundles:
    """The repository's models as bundles in the store.

    Attributes:
        settings: The cluster.
        folder: A folder to build in.
        pushed: The versions that the store has.
    """

    settings: ClusterSettings
    folder: Path
    pushed: set[str] = field(default_factory=set)

    def push(self, version: str) -> str:
        """Put the whole bundle under a version; its address."""
        if version not in self.pushed:
            crowdserve("bundle", "push", self.tar(), self.address(version), environment=self.environment())
            self.pushed.add(version)
        return self.address(version)

    def tar(self) -> Path:
        """The bundle as a file."""
        target = self.folder / "bundle.tar"
        if not target.exists():
            crowdserve("bundle", "build", target, "--profile", "embedded", "--source", REPOSITORY)
        return target

    def address(self, version: str) -> str:
        """Address of a version."""
        return bundle_address(self.settings, version)

    def environment(self) -> dict[str, str]:
        """Variables of every AWS tool for the store."""
        return {
            "AWS_ENDPOINT_URL_S3": self.settings.s3_upload,
            "AWS_ACCESS_KEY_ID": self.settings.s3_key,
            "AWS_SECRET_ACCESS_KEY": self.settings.s3_secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def push_without_file(self, version: str) -> str:
        """A bundle that lost a file after it was pushed."""
        address = self.push(version)
        self._store().delete_object(Bucket=self.settings.s3_bucket, Key=self._network_key(version))
        return address

    def push_with_changed_file(self, version: str) -> str:
        """A bundle one of whose files was changed after it was pushed."""
        address = self.push(version)
        with opened_bundle(self.tar()) as (folder, _):
            content = bytearray((folder / "csrnet_b" / "1" / "model.onnx").read_bytes())
        content[len(content) // 2] ^= 1
        self._store().put_object(Bucket=self.settings.s3_bucket, Key=self._network_key(version), Body=bytes(content))
        return address

    def push_wrong_network(self, version: str) -> str:
        """A whole, consistent bundle whose CSRNet B is CSRNet A: only its counts are wrong."""
        target = self.folder / "wrong"
        with opened_bundle(self.tar()) as (folder, _):
            shutil.copytree(folder, target)
        shutil.copy(target / "csrnet_a" / "1" / "model.onnx", target / "csrnet_b" / "1" / "model.onnx")
        manifest = read_manifest(target)
        (target / MANIFEST_FILE).unlink()
        manifest = replace(manifest, files=describe_files(target))
        (target / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        crowdserve("bundle", "push", target, self.address(version), environment=self.environment())
        return self.address(version)

    def push_image(self, tag: str) -> str:
        """The bundle as an image in the registry, on a base with a shell; its address for KServe's sidecar."""
        registry = self.settings.oci_registry
        address = f"oci://{registry}/{RUN}/models:{tag}"
        crowdserve("bundle", "push", self.tar(), address, "--base", self.settings.oci_base, "--plain-http")
        return address

    def _network_key(self, version: str) -> str:
        return f"{RUN}/{version}/csrnet_b/1/model.onnx"

    def remove(self) -> None:
        """Remove all of them from the store."""
        store, bucket = self._store(), self.settings.s3_bucket
        for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{RUN}/"):
            for found in page.get("Contents", []):
                store.delete_object(Bucket=bucket, Key=found["Key"])

    def _store(self) -> Any:  # boto3 makes its classes when it runs
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.settings.s3_upload,
            aws_access_key_id=self.settings.s3_key,
            aws_secret_access_key=self.settings.s3_secret,
            region_name="us-east-1",
        )


def crowdserve(*arguments: object, environment: dict[str, str] | None = None) -> str:
    """Run `crowdserve`; its output."""
    env = {**os.environ, **(environment or {})}
    words = ["env", *(f"{name}={value}" for name, value in (environment or {}).items() if env.get(name) == value)]
    return run(*words, sys.executable, "-m", "crowdserve", *arguments, seconds=300).stdout
