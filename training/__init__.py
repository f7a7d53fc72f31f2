"""Training: a package per network, the scene classifier, and studies of routing.

    data ──► csrnet ───► engine ──► checkpoint, meta.json, log.jsonl, curves.png
      │      ssdcnet ──┘                  │
      │                                   └─► average_weights, plot_curves, and `export`
      └────► scene ──► model_repository/vgg16/<version>/scene_classifier.*
               └────► routing                the way of routing that errs least

    gpu/      `python -m training.gpu`, in PyTorch: every layer of either network, on a GPU, within a given time

    csrnet/   `python -m training.csrnet`, in TensorFlow       data/    photos, crops, augmentation, density, negatives
    ssdcnet/  `python -m training.ssdcnet`, in PyTorch         engine/  the loop, run folders, flags
    scene/    data set, features, training of the classifier   routing/ studies of what is not served

families.py   the modules of each family of networks

Each script's docstring shows its command.
"""
