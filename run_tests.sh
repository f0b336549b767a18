#!/usr/bin/env bash
# Format, lint, tests (two at a time, in the order of the files: the longest begins); set-up on first use.
# Arguments go to pytest: ./run_tests.sh -k profiles
set -eu
root=$(unset CDPATH && command cd -- "$(dirname -- "$0")" && command pwd)
. "$root/scripts/setup.sh"
command cd -- "$root"
"$python" -m ruff format --check .
"$python" -m ruff check .
exec "$python" -I scripts/environment.py start pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
