"""Client of a running service: one v2 REST request per photo.

photo ──► service ──► protocol ──► HTTP ──► PhotoCount
             └─ tokens      bearer tokens from the environment
"""
