"""Tools that building and testing share; none is installed.

reference/      writes the generated parts of docs/reference
chart/          writes the Helm chart's generated files
stub_models.py  small models whose answers can be computed by hand
release.py      checks a version and builds it
find_python.sh  prints the Python to make the virtual environment with
"""
