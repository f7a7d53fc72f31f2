"""The storage of the bundle and its credentials."""

import pytest

from tests.support.rendering import Chart


@pytest.mark.parametrize(
    "uri",
    [
        "s3://b/c",
        "gs://b/c",
        "hf://o/m:1",
        "oci://r/b:1",
        "oci+native://r/b:1",
        "oci+fetch://r/b:1",
        "pvc://claim/1",
        "https://h/b.tar",
    ],
)
def test_every_storage_uri_is_passed_on(chart: Chart, uri: str) -> None:
    model = chart.render(storage={"uri": uri}).one("InferenceService")["spec"]["predictor"]["model"]
    assert model["storageUri"] == uri


@pytest.mark.parametrize(("path", "uri"), [("crowdserve/1", "pvc://models/crowdserve/1"), ("", "pvc://models")])
def test_existing_claim_is_a_storage_uri(chart: Chart, path: str, uri: str) -> None:
    manifests = chart.render("pvc", storage={"existingClaim": {"path": path}})
    assert manifests.one("InferenceService")["spec"]["predictor"]["model"]["storageUri"] == uri


def test_credentials_are_attached_to_the_service_account(chart: Chart) -> None:
    manifests = chart.render("s3")
    account = manifests.one("ServiceAccount")
    assert account["metadata"]["name"] == "counting"
    assert account["secrets"] == [{"name": "s3-credentials"}]
    assert "eks.amazonaws.com/role-arn" in account["metadata"]["annotations"]
    assert manifests.one("InferenceService")["spec"]["predictor"]["serviceAccountName"] == "counting"


def test_existing_service_account_is_used_and_not_created(chart: Chart) -> None:
    manifests = chart.render(serviceAccount={"enabled": False, "name": "mine"})
    assert not manifests.all("ServiceAccount")
    assert manifests.one("InferenceService")["spec"]["predictor"]["serviceAccountName"] == "mine"
