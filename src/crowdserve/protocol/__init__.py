"""The service's contract with its callers, typed once: the transformer and the client both import it.

client ──► headers, binary, tensors, zones ◄── transformer

tensors.py   names, datatypes and shapes of the v2 tensors
binary.py    the binary tensor extension: the end of the JSON part, the form of a BYTES element
headers.py   the response header that names the serving pod
zones.py     the parameter that names polygons to count in
"""
