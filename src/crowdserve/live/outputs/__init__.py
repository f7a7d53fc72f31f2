"""What becomes of readings and alerts outside of the watcher.

Board ──► metrics ──► Prometheus, Alertmanager
Reading, Alert ──► lines ──► standard output: text, or one JSON object per line
Alert ──► events ──► webhooks ──► HTTP, signed, tried again
"""
