"""The command line: one file per command, registered in `app`.

app ──► up ─────────► local
    ├─► count ──────► options.open_service ──► client ──► report
    ├─► evaluate ───► evaluation
    ├─► repository ─► triton.repository, pages
    ├─► models ─────► bundle                  pulls bundles into the user's cache
    ├─► bundle ─────► bundle
    └─► rollout ────► rollout

options.py   what every command that asks a service has in common
report.py    what `count` prints
"""
