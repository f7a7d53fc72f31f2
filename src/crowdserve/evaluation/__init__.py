"""Evaluation of the service on labelled photos: `crowdserve evaluate`.

folders ──► photos ──► counting ──► predictions.csv ──► summary ──► tables, summary.json, scatter.png
                          │ calls the service            └─ policies: the counts of other routing
"""
