#!/usr/bin/env bash
# Format, lint, tests (two at a time); set-up on first use. Arguments go to pytest: ./run_tests.sh -k profiles
set -eu
. "$(dirname "$0")/scripts/setup.sh"
cd "$root"
"$python" -m ruff format --check .
"$python" -m ruff check .
exec "$python" -m pytest --numprocesses 2 --dist loadfile "$@"
