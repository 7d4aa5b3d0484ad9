#!/bin/sh
# Runs the suite on several Airflows, one after the other: matrix.sh 2.11.0:3.10 3.3.2:3.12
# Each cell has an environment of its own. A Python that this machine does not have is replaced by another, one
# that every Airflow here takes if there is one; that is said aloud and shows in the table. Exits 1 if any cell
# failed.
set -u
cd "$(dirname "$0")/.." || exit 1

table=""
failed=0
for cell in "$@"; do
    airflow=${cell%%:*}
    wanted=${cell#*:}
    note=""
    if ! python=$(tools/find-python.sh "$wanted" 2>/dev/null); then
        note="  (no Python $wanted on this machine)"
        # Airflow 2.11 takes no later one.
        for other in 3.12 3.11 3.10; do
            ! python=$(tools/find-python.sh "$other" 2>/dev/null) || break
        done
        [ -n "$python" ] || python=$(tools/find-python.sh) || exit 1
    fi
    have=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "matrix: Airflow $airflow on Python $have$note"
    started=$(date +%s)
    if make matrix-one AIRFLOW_VERSION="$airflow" PYTHON="$python" VENV=".venv-$airflow-py$have"; then
        outcome=passed
    else
        outcome=FAILED
        failed=1
    fi
    table="$table$(printf '%-10s %-8s %-8s %4s s%s' "$airflow" "$have" "$outcome" "$(($(date +%s) - started))" "$note")
"
done

echo
printf '%-10s %-8s %-8s %s\n' Airflow Python outcome time
printf '%s' "$table"
exit $failed
