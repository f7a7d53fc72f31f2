"""From tensors to head counts, and back to tensors.

tensors ─ request, parameters ─► images ─► counter ─► routing ─► density_maps ─► (zone_counts, heatmap) ─► response
                                               │
                                               └─ Triton: vgg16, then the ensemble of the scene

request.py   validates a request               counter.py       calls Triton, adds up
images.py    reads photos, pads them           routing.py       the networks of a request and their weights
passed_on.py what Triton gets of a caller's words
density_maps.py   maps of two grids as one    heatmap.py       the density drawn on the image
zone_counts.py    people in polygons          zone_outlines.py polygons drawn on the image
"""
