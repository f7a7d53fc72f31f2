"""Asking a running service: one photo, one v2 REST request.

photo ──► service ──► protocol ──► HTTP ──► PhotoCount
             └─ tokens      bearer tokens out of the environment
"""
