"""Cameras, watched: `crowdserve watch`.

cameras.yaml ─► configuration ─► watcher ─► a thread for each camera:

    sources ─► capture: the newest frame ─► camera, every so often ─► health ─► the service: people in zones
                                                                          │             │
             publishing ◄─ reading, alerts ◄─ assessment ◄────────────────┴─────────────┘
                 │                            averaging, levels, calibration, alarms
                 ├─► board ─► metrics, pages
                 ├─► history: SQLite, PostgreSQL ─► CSV, Parquet
                 ├─► webhooks: CloudEvents, signed
                 └─► lines; pictures, if they are asked for

watcher.py     all cameras of a site              camera.py      the loop of one
capture.py     its frames                         assessment.py  its counts to readings and alerts
publishing.py  what becomes of them               board.py       the newest of each camera
secrets.py     what must not be seen              observations.py  what passes between these rooms
overrides.py   zones that go before the file's

A frame that is late is dropped; nothing is queued before the service.
"""
