# The graph of notebooks. The rules are made from the table in lab_utils/core/chapters.py; run_all.sh calls this with
#   snakemake --snakefile Snakefile --directory data/runs/sample --config run=sample --cores 2
# Inputs are small stamps, written only where a chapter's code, modules or settings changed, and the manifests of the
# chapters it needs. Outputs are manifests. The executed notebook is the log: it survives a failure.
import os
import sys

from lab_utils.core import chapters
from lab_utils.core.profiles import load_settings
from lab_utils.runner import processes
from lab_utils.runner.state import RunState

processes.die_with_run()
state = RunState(load_settings(config["run"]))


rule all:
    input:
        [state.path("manifests", step.name) for step in state.steps],


for step in state.steps:

    rule:
        name:
            step.name
        input:
            state.path("stamps", step.name),
            [state.path("manifests", need) for need in state.needs(step)],
        output:
            state.path("manifests", step.name),
        log:
            [state.published(step.name)] if step.needs else [],
        params:
            python=sys.executable,
            run=state.settings.name,
            step=step.name,
        priority:
            chapters.priority(step.name)
        resources:
            gpu=int(step.device),
        shell:
            "{params.python:q} -m lab_utils.runner.job {params.run:q} {params.step:q}"
