"""Behind run_all.sh: command line, stamps, state, execution, processes."""
