"""The scene classifier: dense or sparse, from VGG16's features of a photo.

files ──► classifier ──► P(dense), P(sparse)
  │           │
  │           └─ contract     are the features those of training?
  └─ dense_head               a hidden layer in numpy, if the classifier has one

names.py             names of the classifiers, and of their files
files.py             the classifiers beside VGG16's model.onnx, with their records
array_file.py        arrays out of a file that anybody may have made
estimator_arrays.py  scikit-learn's classifiers as arrays, and back
contract.py          facts about the features: recorded in training, compared in serving
classifier.py        features in, probabilities out
dense_head.py        a classifier with one hidden layer, without a deep-learning framework
"""
