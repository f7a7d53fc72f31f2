"""A counting network as a TFLite file, for phones: one image of any size in, its density and head count out.

The file is written from the same steps as the ONNX file: uint8 RGB [1, height, width, 3] in, normalisation inside,
weights stored in FP16, one convolution per layer. A program resizes the input tensor to its image, or uses the
signature runner, which does so itself:

    runner = ai_edge_litert.interpreter.Interpreter("csrnet_a.tflite").get_signature_runner()
    count = runner(image=photo[np.newaxis])["count"]
"""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, SignatureRunner

from crowdserve.cards import ModelCard, Normalisation
from crowdserve.errors import ParityError, SetupError
from crowdserve.whole_files import write_whole
from export.csrnet.checkpoint import Checkpoint
from export.graph.chain import Pooling, Step
from export.graph.keras_chain import read_chain
from export.publish import worst_of_each
from export.verify.parity import Comparison, Images, Outputs, Reference, compare_outputs

DTYPES = {"UINT8": "uint8", "FP32": "float32"}


def build_tflite(checkpoint: Checkpoint, card: ModelCard) -> bytes:
    """The TFLite file of a chain of convolutions that ends in a density map."""
    steps = read_chain(checkpoint.model)

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.uint8, name=card.input.name)])
    def count_people(image: tf.Tensor) -> dict[str, tf.Tensor]:
        density = _layers(_normalised(image, checkpoint.normalisation), steps)[..., 0]  # [1, h, w]
        return {"density": density, "count": tf.reduce_sum(density, axis=[1, 2])[:, tf.newaxis]}

    converter = tf.lite.TFLiteConverter.from_concrete_functions([count_people.get_concrete_function()], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]  # how weights are stored; a CPU computes in FP32
    return converter.convert()


def _normalised(image: tf.Tensor, normalisation: Normalisation) -> tf.Tensor:
    """uint8 RGB -> float32 in the normalisation's channel order, as in `crowdserve.nets.normalisation`."""
    ordered = image[..., ::-1] if normalisation.channel_order == "BGR" else image
    pixels = tf.cast(ordered, tf.float32) / normalisation.divisor
    return (pixels - tf.constant(normalisation.mean)) / tf.constant(normalisation.std)


def _layers(x: tf.Tensor, steps: Sequence[Step]) -> tf.Tensor:
    """float32 [1, height, width, in] -> [1, height', width', out]."""
    for step in steps:
        if isinstance(step, Pooling):
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        else:
            x = tf.nn.conv2d(x, tf.constant(step.kernel), 1, "SAME", dilations=step.dilation) + tf.constant(step.bias)
            x = tf.nn.relu(x) if step.relu else x
    return x


def check_tflite(model: bytes, card: ModelCard, reference: Reference, images: Sequence[Images]) -> list[Comparison]:
    """Compare a TFLite model with its framework model, by the card's tolerance.

    Args:
        model: The file's content.
        card: Card with the expected names, dtypes and tolerances.
        reference: The framework model.
        images: Single images of people, in several sizes.

    Raises:
        ParityError: If the interpreter refuses the file, or if names, dtypes, shapes, values or counts differ.
    """
    try:
        runner = Interpreter(model_content=model).get_signature_runner()
    except Exception as err:  # the interpreter raises ValueError, RuntimeError and exceptions of its own
        raise ParityError(f"{card.name}: the TFLite interpreter cannot load the exported model: {err}") from err
    _check_tensors(runner, card)

    def run(image: Images) -> Outputs:
        try:
            return runner(**{card.input.name: image})
        except Exception as err:
            raise ParityError(f"{card.name}: the TFLite model fails on an image of shape {image.shape}: {err}") from err

    return compare_outputs(card, reference, run, images)


def _check_tensors(runner: SignatureRunner, card: ModelCard) -> None:
    for kind, details, tensors in (
        ("inputs", runner.get_input_details(), (card.input,)),
        ("outputs", runner.get_output_details(), card.outputs),
    ):
        got = {name: detail["dtype"].__name__ for name, detail in details.items()}
        expected = {tensor.name: DTYPES[tensor.dtype] for tensor in tensors}
        if got != expected:
            raise ParityError(f"{card.name}: the TFLite model has the {kind} {got}, its card has {expected}")


def release_tflite(
    model: bytes, card: ModelCard, reference: Reference, *, images: Sequence[Images], output: Path
) -> Path:
    """Check a TFLite model against its framework model, print the differences and write it.

    Raises:
        ParityError: If the models differ; then nothing is written.
        SetupError: If the file cannot be written.
    """
    singles = [batch for batch in images if len(batch) == 1]
    comparisons = check_tflite(model, card, reference, singles)
    print(f"{card.name}: names, dtypes and shapes agree; {len(singles)} images, largest differences:")
    for comparison in worst_of_each(comparisons):
        print(f"  {comparison}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, model)
    except OSError as err:
        raise SetupError(f"cannot write {output} ({err.strerror}); give another file with --output") from err
    print(f"wrote {output} ({len(model) / 1e6:.1f} MB)")
    return output
