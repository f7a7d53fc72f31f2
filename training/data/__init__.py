"""The data that networks are trained on.

datasets ──► folds ──► photos ──► crops ──► augmentation ──► a step's batch
                         │          └─ crop_config
                         ├─ feature_cache   features of frozen layers, on disk
                         └─ negatives, negatives_folder, free_photos   images without people
"""
