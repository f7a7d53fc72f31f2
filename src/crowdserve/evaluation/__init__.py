"""Judging the service on labelled photos: `crowdserve evaluate`.

folders ──► photos ──► counting ──► predictions.csv ──► summary ──► tables, summary.json, scatter.png
                          │ asks the service             └─ policies: what other routing would have given
"""
