#!/usr/bin/env bash
# Every notebook, then the report; set-up on first use. ./run_all.sh --help lists the options.
set -eu
. "$(dirname "$0")/scripts/setup.sh"
exec "$python" -m lab_utils.runner.cli "$@"
