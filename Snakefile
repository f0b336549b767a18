# The graph of notebooks. The rules are made from the table in lab_utils/core/chapters.py; run_all.sh calls this with
#   snakemake --snakefile Snakefile --directory data/runs/sample --config run=sample steps="data 00_dataset" --cores 2
# Snakemake orders the steps that may be outdated and hands them out; each job looks for itself, by content, whether there
# is anything to do. Outputs are empty files that run_all.sh takes away before it starts, so that file times decide nothing.
import sys

from lab_utils.core import chapters
from lab_utils.core.profiles import load_settings
from lab_utils.runner import processes
from lab_utils.runner.state import RunState

processes.die_with_run()
state = RunState(load_settings(config["run"]))
asked = config.get("steps", "").split() or [step.name for step in state.steps]
steps = [step for step in state.steps if step.name in asked]


rule all:
    input:
        [f"done/{step.name}" for step in steps],


for step in steps:

    rule:
        name:
            step.name
        input:
            [f"done/{need}" for need in state.needs(step) if need in asked],
        output:
            f"done/{step.name}",
        params:  # functions: in a text Snakemake would take braces in the path of Python for wildcards
            python=lambda _: sys.executable,
            run=lambda _: state.settings.name,
            step=lambda _, name=step.name: name,
        priority:
            chapters.priority(step.name)
        resources:
            gpu=int(step.device),
        shell:
            "{params.python:q} -m lab_utils.runner.job {params.run:q} {params.step:q}"
