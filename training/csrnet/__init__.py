"""CSRNet, in TensorFlow.

train ──► net ──► loss, point_losses      mean: the mean of several runs' weights, for `training.average_weights`
"""
