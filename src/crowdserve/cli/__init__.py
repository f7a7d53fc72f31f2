"""The command line: one file per command, registered in `app`.

app ──► up ─────────► local
    ├─► count ──────► options.open_service ──► client ──► report
    ├─► evaluate ───► evaluation
    ├─► repository ─► triton.repository, pages
    ├─► models ─────► bundle                  pulls bundles into the user's cache
    ├─► bundle ─────► bundle
    └─► rollout ────► rollout

options.py        options shared by the commands that use a service
photos.py         photos that files, folders and patterns of `count` stand for
report.py         output of `count`
overlays.py       files of the overlays of `count`
interruption.py   SIGTERM and SIGHUP: clean up, then end
"""
