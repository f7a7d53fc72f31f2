"""The scene classifier, in three steps.

photos ─ dataset ─► labels, splits ─ features ─► VGG16's features ─ train ─► scene_classifier.npz, its record
                                                                    │
                                                                    ├─ regression, dense_head   the two types
                                                                    ├─ figures                  accuracy
                                                                    └─ save                     files for serving
"""
