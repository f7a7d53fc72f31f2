"""The OpenAPI document of the REST interface, made from the routes, cards, tensors, parameters, settings and errors.

routes ──► document ──► operations ──► bodies, statuses ──► schemas ──► tensors, parameters, settings, errors

document.py    the document: one path item for each route of the application
operations.py  what each endpoint takes and answers
bodies.py      request and response bodies in their media types
statuses.py    the statuses of errors, and when they occur
page.py        the document as a page, served at /docs
schemas.py     JSON schemas of messages and tensors
"""
