"""Behind run_all.sh: command line, state, execution, processes."""
