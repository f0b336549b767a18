# Sourced by run_all.sh and run_tests.sh, which set root. Sets python; on first use it makes .venv from requirements.txt.
#   LAB_PYTHON=/path/python   use this environment instead of .venv (conda's, say)
#   LAB_GPU=0                 leave the graphics card aside; LAB_GPU=1: install CUDA's packages though no card is seen
# Where there is an NVIDIA card and no CUDA for TensorFlow, these packages (requirements-gpu.txt) are installed as well.
# `-I` everywhere: Python obeys no variable of the user's, and imports nothing from the folder one is in.

fits() { # is this command a Python that TensorFlow has wheels for?
  "$1" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

if [ -n "${LAB_PYTHON:-}" ]; then
  python=$LAB_PYTHON
  fits "$python" || { echo "LAB_PYTHON=$python is no Python 3.11, 3.12 or 3.13." >&2; exit 2; }
  "$python" -I "$root/scripts/environment.py" check || exit 2
else
  python=
  for candidate in python3 python3.13 python3.12 python3.11; do
    if fits "$candidate"; then python=$candidate; break; fi
  done
  if [ -z "$python" ]; then
    echo "Python 3.11, 3.12 or 3.13 is needed and none was found: install one, or set LAB_PYTHON=/path/python." >&2
    exit 2
  fi
  "$python" -I "$root/scripts/environment.py" || exit 2
  python=$root/.venv/bin/python
fi
