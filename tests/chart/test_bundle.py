"""What the values say of a bundle reaches both containers that read it, and changes with its address."""

import pytest

from tests.chart.test_serving import environment
from tests.support.rendering import Chart, Manifests

DIGEST = f"sha256:{'4' * 64}"
KEY = "-----BEGIN PUBLIC KEY-----\nMFkw\nEwYH\n-----END PUBLIC KEY-----\n"


def digests(manifests: Manifests, name: str = "rel") -> set[str]:
    containers = (manifests.triton(name), manifests.transformer(name))
    return {environment(each).get("CROWDSERVE_BUNDLE_DIGEST", "") for each in containers}


@pytest.mark.parametrize("base", ["default", "standalone"])
@pytest.mark.parametrize("given", [DIGEST, "4" * 64])
def test_digest_reaches_triton_and_the_transformer(chart: Chart, base: str, given: str) -> None:
    assert digests(chart.render(base, storage={"digest": given})) == {DIGEST}
    assert digests(chart.render(base)) == {""}


def test_digest_is_where_a_rollout_changes_the_address(chart: Chart) -> None:
    """One patch of the InferenceService changes both; the ServingRuntime names no digest."""
    manifests = chart.render("knative", canary={"storageDigest": "4" * 64}, storage={"digest": "3" * 64})
    model = manifests.one("InferenceService")["spec"]["predictor"]["model"]
    assert model["env"] == [{"name": "CROWDSERVE_BUNDLE_DIGEST", "value": DIGEST}]
    assert "4" * 64 not in str(manifests.one("ServingRuntime"))


def test_canary_has_the_digest_of_its_own_bundle(chart: Chart) -> None:
    values = {"storage": {"digest": "3" * 64}, "canary": {"storageDigest": "4" * 64}}
    manifests = chart.render("canary", **values)
    assert digests(manifests, "rel") == {f"sha256:{'3' * 64}"}
    assert digests(manifests, "rel-canary") == {DIGEST}
    same = chart.render("canary", storage={"digest": "3" * 64}, canary={"storageUri": ""})
    assert digests(same, "rel-canary") == {f"sha256:{'3' * 64}"}


@pytest.mark.parametrize("base", ["default", "standalone", "knative"])
@pytest.mark.parametrize("text", [KEY, KEY.replace("\n", "\n   "), f"\n  {KEY}", KEY.replace("\n", "\r\n")])
def test_public_key_reaches_triton_and_the_transformer(chart: Chart, base: str, text: str) -> None:
    manifests = chart.render(base, storage={"publicKey": text})
    assert manifests.one("ConfigMap", "rel-bundle-key")["data"]["cosign.pub"] == KEY
    assert f"<<'KEY'\n{KEY}KEY\n" in manifests.triton()["args"][2]
    transformer = manifests.transformer()
    file = environment(transformer)["CROWDSERVE_BUNDLE_PUBLIC_KEY"]
    (mount,) = (each for each in transformer["volumeMounts"] if file.startswith(f"{each['mountPath']}/"))
    spec = manifests.one("InferenceService")["spec"]
    volumes = {each["name"]: each for each in spec.get("transformer", spec["predictor"])["volumes"]}
    assert volumes[mount["name"]]["configMap"]["name"] == "rel-bundle-key"
    assert "bundle-key" not in str(list(chart.render(base)))


def test_pickles_are_read_by_explicit_wish(chart: Chart) -> None:
    assert environment(chart.render().transformer())["CROWDSERVE_ALLOW_PICKLE"] == "false"
    wished = chart.render(transformer={"settings": {"allowPickle": True}})
    assert environment(wished.transformer())["CROWDSERVE_ALLOW_PICKLE"] == "true"
