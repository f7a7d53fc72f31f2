"""Checks before the service answers: models, versions and files that must fit together.

repository.py         the downloaded files, compared with their manifest before the start
scene_network.py      Triton's vgg16, compared with the one that the scene classifier was trained on
counting_networks.py  probes of the counting networks where something speaks against them
member_versions.py    versions of an ensemble's members, for the answer's `models`
"""
