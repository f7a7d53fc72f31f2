"""The scene classifier, in three steps.

photos ─ dataset ─► labels, splits ─ features ─► VGG16's features ─ train ─► scene_classifier.joblib, its record
                                                                    │
                                                                    ├─ regression, dense_head   the kinds
                                                                    ├─ figures                  how well it does
                                                                    └─ save                     as serving reads it
"""
