#!/bin/sh
# Prints the path of a Python interpreter that can make virtual environments.
#
#   find-python.sh          the newest of 3.13, 3.12, 3.11, 3.10, else any python3 >= 3.10
#   find-python.sh 3.12     exactly that minor version
#
# Looks on PATH, then where pyenv, uv and python.org's builds put interpreters. A candidate counts only if it
# runs: version managers leave stand-ins on PATH that do not.
set -u

usable() {
    "$1" -c '
import sys
wanted = sys.argv[1]
have = "%d.%d" % sys.version_info[:2]
if sys.version_info < (3, 10) or (wanted and have != wanted):
    sys.exit(1)
import ensurepip, venv
' "$2" >/dev/null 2>&1
}

offer() {
    if [ -n "$1" ] && [ -x "$1" ] && usable "$1" "$2"; then
        printf '%s\n' "$1"
        exit 0
    fi
}

look_on_path() {
    old_ifs=$IFS
    IFS=:
    for folder in $PATH; do
        IFS=$old_ifs
        offer "$folder/python$1" "$1"
    done
    IFS=$old_ifs
}

# A version manager's stand-ins on PATH tell where it keeps what they stand for.
look_behind_shims() {
    old_ifs=$IFS
    IFS=:
    for folder in $PATH; do
        IFS=$old_ifs
        case $folder in
        */shims)
            for candidate in "${folder%/shims}/versions/$1".*/bin/"python$1"; do
                offer "$candidate" "$1"
            done
            ;;
        esac
    done
    IFS=$old_ifs
}

look_elsewhere() {
    look_behind_shims "$1"
    home=${HOME:-/nonexistent}
    for candidate in \
        "${PYENV_ROOT:-$home/.pyenv}/versions/$1".*/bin/"python$1" \
        "${UV_PYTHON_INSTALL_DIR:-$home/.local/share/uv/python}/cpython-$1".*/bin/"python$1" \
        "/usr/local/bin/python$1" \
        "/opt/python/$1"*/bin/"python$1" \
        "/Library/Frameworks/Python.framework/Versions/$1/bin/python$1"; do
        offer "$candidate" "$1"
    done
}

if [ $# -gt 0 ] && [ -n "$1" ]; then
    look_on_path "$1"
    look_elsewhere "$1"
    echo "No usable Python $1 found (on PATH, or where pyenv and uv keep theirs)." >&2
    exit 1
fi

for version in 3.13 3.12 3.11 3.10; do
    look_on_path "$version"
done
offer "$(command -v python3 2>/dev/null)" ""
for version in 3.13 3.12 3.11 3.10; do
    look_elsewhere "$version"
done

if command -v python3 >/dev/null 2>&1 && python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    echo "$(command -v python3) cannot make virtual environments: it lacks the module ensurepip." >&2
    echo "Install it (Debian and Ubuntu: apt-get install python3-venv), or name another: make PYTHON=/path/to/python3" >&2
else
    echo "Python 3.10 or newer is needed. Name one with: make PYTHON=/path/to/python3" >&2
fi
exit 1
