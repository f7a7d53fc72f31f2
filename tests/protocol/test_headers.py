from crowdserve.protocol.headers import pod_name


def test_host_name_is_not_sent_outside_kubernetes() -> None:
    assert pod_name({"HOSTNAME": "laptop"}) is None
    assert pod_name({"HOSTNAME": "crowd-predictor-5f7c9-abcde", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == (
        "crowd-predictor-5f7c9-abcde"
    )
