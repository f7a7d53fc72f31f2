#!/bin/sh
# Print the Python that the virtual environment is made with: the one given, else the first of a few that fits.
#
#     tools/find_python.sh [PYTHON]
#
# pyproject.toml says which versions fit. A command that is there but does not run (a version manager's shim) does not.
cd "$(dirname "$0")/.." || exit 1
range=$(sed -n 's/^requires-python = ">=\(.*\),<\(.*\)"$/\1 \2/p' pyproject.toml)
check='
import sys
first, end = (tuple(map(int, version.split("."))) for version in sys.argv[1:])
if not first <= sys.version_info[:2] < end:
    sys.exit("this is Python {}.{}.{}".format(*sys.version_info))
try:
    import venv, ensurepip
except ImportError:
    sys.exit("its venv module is missing (Debian, Ubuntu: apt install python{}.{}-venv)".format(*sys.version_info))
'
[ -n "$1" ] || set -- python3.12 python3.11 python3.13 python3
for python; do
    if reason=$("$python" -c "$check" $range 2>&1); then
        echo "$python"
        exit 0
    fi
    reasons="$reasons
  $python: $(echo "$reason" | head -n 1)"
done
cat >&2 <<TEXT
crowdserve needs Python ${range% *} or later, before ${range#* }; found none:$reasons
Install one (Debian, Ubuntu: apt install python3.12 python3.12-venv; Fedora: dnf install python3.12; anywhere:
uv python install 3.12), then name it: make PYTHON=/path/to/python3.12 ...
TEXT
exit 1
