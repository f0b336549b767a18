"""What is said of licences and how to cite the lab agrees with the package and names every network's weights."""

import re
import tomllib

import yaml
from miniature import ROOT

from lab_utils.networks.registry import REGISTRY

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_file_has_what_its_format_asks_for_and_agrees_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["license"], citation["version"]) == (PROJECT["license"], PROJECT["version"])
    for work in (citation, *citation["references"]):
        assert work["title"] and all(set(author) & {"name", "family-names"} for author in work["authors"])
    assert any(work.get("doi") == "10.1007/s10489-021-02951-w" for work in citation["references"])


def test_the_licence_is_the_one_that_the_package_names():
    text = (ROOT / "LICENSE").read_text()
    assert text.startswith(f"{PROJECT['license']} License\n") and PROJECT["license-files"] == ["LICENSE"]
    assert "WITHOUT WARRANTY OF ANY KIND" in text


def test_the_readme_states_the_licence_of_every_networks_weights():
    section = (ROOT / "README.md").read_text().partition("## Licences")[2]
    for entry in REGISTRY.values():
        family = re.sub(r"(Net)?-?(Lite|V2|B)?\d*(B\d)?$", "", entry.title)
        assert family in section, entry.title
