"""The scene classifier: dense or sparse, from VGG16's features of a photo.

files ──► classifier ──► P(dense), P(sparse)
  │           │
  │           └─ contract     are these the features that it was trained on?
  └─ dense_head               a hidden layer in numpy, for classifiers that have one

files.py        the classifiers beside VGG16's model.onnx, with their records
contract.py     facts about the features: written down in training, compared in serving
classifier.py   features in, probabilities out
dense_head.py   a classifier with one hidden layer, without a deep-learning framework
"""
