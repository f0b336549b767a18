#!/usr/bin/env bash
# Every notebook, then the report; set-up on first use. ./run_all.sh --help lists the options.
set -eu
root=$(unset CDPATH && command cd -- "$(dirname -- "$0")" && command pwd)
. "$root/scripts/setup.sh"
exec "$python" -I "$root/scripts/environment.py" start lab_utils.runner.cli "$@"
