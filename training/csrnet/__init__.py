"""CSRNet, in TensorFlow.

train ──► net ──► loss, point_losses      mean: of several runs' weights, for `training.average_weights`
"""
