from google.protobuf.json_format import MessageToDict, ParseDict

from crowdserve.protocol.tensors import IMAGE_SHAPES, OUTPUTS
from crowdserve_transformer.settings import Settings
from crowdserve_transformer.transport.model_config import model_config
from crowdserve_transformer.transport.rpc.protocol import message_class

CONFIG = model_config("crowdserve", Settings(max_batch_size=7))


def test_it_is_a_model_config_of_triton() -> None:
    parsed = ParseDict(CONFIG, message_class("ModelConfig")())
    kept = MessageToDict(parsed, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    assert {name: kept[name] for name in ("name", "platform", "backend", "max_batch_size")} == {
        "name": "crowdserve",
        "platform": "kserve_transformer",
        "backend": "",
        "max_batch_size": 7,
    }
    assert [tensor["name"] for tensor in kept["output"]] == list(OUTPUTS)


def test_shapes_are_the_batch_and_the_dimensions() -> None:
    (image,) = CONFIG["input"]
    assert (image["data_type"], image["dims"]) == ("TYPE_STRING", [1])
    assert IMAGE_SHAPES["BYTES"] == (-1,)  # [N] is taken as well as [N, 1]
    for tensor, output in zip(CONFIG["output"], OUTPUTS.values(), strict=True):
        assert [-1, *tensor["dims"]] == list(output.shape)
        assert tensor["data_type"] == f"TYPE_{output.datatype}".replace("BYTES", "STRING")
