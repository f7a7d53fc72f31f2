from crowdserve.protocol.headers import pod_name


def test_a_host_outside_of_kubernetes_is_nobodys_business() -> None:
    assert pod_name({"HOSTNAME": "laptop"}) is None
    assert pod_name({"HOSTNAME": "crowd-predictor-5f7c9-abcde", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == (
        "crowd-predictor-5f7c9-abcde"
    )
