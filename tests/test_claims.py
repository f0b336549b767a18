"""The texts of the claims, the preconditions of a verdict, and what a stored verdict must hold."""

import ast
import itertools
import json
import re
import string

import pandas as pd
import pytest
import yaml

from lab_utils.claims import engine, schema, words
from lab_utils.claims.engine import Context, Verdict, check
from lab_utils.claims.rules import OPEN
from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.data.taxonomy import SUPER_GROUPS
from lab_utils.stats.curves import cut_short
from lab_utils.stats.intervals import Accuracy, Difference, Estimate

CLAIMS = schema.claims()
UP, TIED = Difference(0.1, 0.05, 0.15, 100), Difference(0.01, -0.04, 0.06, 100)
PHOTOS, DRAWINGS = Context("mame"), Context("sample", ("Wood",))
NAMES_WITH_DIGITS = r"#\d+|[A-Za-z][\w-]*\d+"


def sentences(claim: schema.Claim) -> list[tuple[str, str]]:
    """All templates of a claim, with the verdict."""
    texts = {name: getattr(claim, name) for name in ("supported", "contradicted", "tie", "missing")}
    parts = {name: list(text.values()) if isinstance(text, dict) else [text] for name, text in texts.items()}
    return [(name, template) for name, part in parts.items() for template in part if template]


# ---- texts -----------------------------------------------------------------------------------------------------------
def test_there_are_claims_in_every_chapter_that_decides_any():
    assert len(CLAIMS) >= 80
    assert {claim.chapter for claim in CLAIMS.values()} == {f"{number:02d}" for number in range(1, 16)}
    assert all(claim.said and claim.test for claim in CLAIMS.values())


def test_no_text_is_cut_at_a_comment_sign():
    for path in schema.TEXTS.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert json.dumps(yaml.safe_load(text)).count("#") == "".join(lines).count("#"), path.name


@pytest.mark.parametrize("id", CLAIMS)
def test_templates_are_short_and_hold_no_numbers(id):
    for verdict, template in sentences(CLAIMS[id]):
        bare = re.sub(r"\{[^}]*\}", "X", template)
        assert len(bare.split()) <= 25 and template.endswith(".") == (verdict != "missing"), template
        assert not re.search(r"\d", re.sub(NAMES_WITH_DIGITS, "", bare)), template


@pytest.mark.parametrize("id", CLAIMS)
def test_every_template_renders_in_singular_and_plural(id):
    values = (Difference(-0.1, -0.2, 0.0, 9), Accuracy(3, 4), Estimate(0.5, 0.4, 0.6, 9))
    for (_, template), count, value in itertools.product(sentences(CLAIMS[id]), (1, 3), values):
        used = {(name, form) for _, name, form, _ in string.Formatter().parse(template) if name}
        measured = {name for name, form in used if form in words.FORMATS and form}
        text = words.render(template, {name: value if name in measured else count for name, _ in used})
        assert text and "{" not in text and "None" not in text
        assert not re.search(r"\b1 (networks|architectures|runs)\b|\b3 (network|architecture|run)\b", text), text


def test_words_agree_with_their_numbers():
    agree = "{n} {n:network/networks} {n:is/are} {change:better/worse} by {change:points} ({change:interval})"
    singular = words.render(agree, {"n": 1, "change": TIED})
    assert singular == "1 network is better by 1.0 points (-4.0 to +6.0 points)"
    assert words.render("{names:it is/they are} {names}", {"names": ["a", "b", "c"]}) == "they are a, b and c"
    loss = Estimate(-0.25, -0.5, 0.1, 8, digits=3, unit=" nats")
    assert words.render("{x} {x:signed} {x:interval}", {"x": loss}) == "-0.250 nats -0.250 nats -0.500 to +0.100 nats"
    assert words.render("{x} {x:printed} {x:exact} {y:percent}", {"x": Accuracy(778, 1000), "y": 0.36}) == (
        "77.8 % 0.78 0.778 36.0 %"
    )


TEXT = {
    "id": "toy",
    "slide": 9,
    "says": "First beats second",
    "test": "a test",
    "rule": {"compare": {"expect": "lower"}, "with": ["rival"]},
    "supported": "Yes, against {rival}.",
    "contradicted": "No.",
    "tie": "Open.",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wording": "x"}, "wording"),
        ({"rule": "guess"}, "guess is no rule"),
        ({"rule": {"compare": {"want": "lower"}}}, "no parameter want"),
        ({"rule": {"compare": {"expect": "bigger"}}}, "expect"),
        ({"tie": "Open, {difference}."}, "unknown placeholder difference"),
        ({"tie": "Open, {rival:roughly}."}, "no placeholder"),
        ({"tie": ""}, "tie"),
        ({"tie": {"a": "Open.", "b": "Closed."}}, "tie"),
        ({"implicit": "both"}, "either says or implicit"),
        ({"undecided": "nobody does"}, "rule or why"),
        ({"slide": 99}, "slide"),
        ({"needs": ["money"]}, "needs"),
    ],
)
def test_a_text_that_does_not_fit_is_an_error_that_names_file_and_claim(tmp_path, change, words):
    (tmp_path / "07.yaml").write_text(json.dumps({"needs": "any", "claims": [TEXT]}), encoding="utf-8")
    assert schema.read(tmp_path)["toy"].chapter == "07"
    (tmp_path / "07.yaml").write_text(json.dumps({"needs": "any", "claims": [TEXT | change]}), encoding="utf-8")
    with pytest.raises(LabError, match=f"(?s)07.yaml, claim toy: .*{words}"):
        schema.read(tmp_path)


def test_an_id_is_given_once_over_all_chapters(tmp_path):
    for chapter in ("07", "08"):
        (tmp_path / f"{chapter}.yaml").write_text(json.dumps({"needs": "any", "claims": [TEXT]}), encoding="utf-8")
    with pytest.raises(LabError, match=r"08\.yaml, claim toy: chapter 07 has one"):
        schema.read(tmp_path)


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    (tmp_path / "07.yaml").write_text("claims: [", encoding="utf-8")
    with pytest.raises(LabError, match=r"07\.yaml is no YAML"):
        schema.read(tmp_path)


# ---- preconditions ---------------------------------------------------------------------------------------------------
LEARNT = pd.DataFrame({"val_cross_entropy": [2.0, 1.0, 0.8, 0.9, 1.0], "clean_accuracy": [0.5, 0.8, 0.9, 1.0, 1.0]})
FALLING = pd.DataFrame({"val_cross_entropy": [3.0, 2.0, 1.5], "clean_accuracy": [0.3, 0.6, 0.7]})
BEST = {"value": UP, "other": "run 5"}


def test_photographs_and_networks_trained_to_an_end_give_a_verdict():
    verdict = check("run6-best", PHOTOS, {"run 6": LEARNT}, **BEST)
    assert (verdict.verdict, verdict.n, verdict.interval) == ("supported", 100, (0.05, 0.15))
    assert verdict.precondition == "met: museum photographs and trained to an end"
    assert verdict.sentence == "The last run is 10.0 points better on val than run 5, the best of the others."
    assert str(verdict) == f"Slide 31 says “VGG16: Final Result #6”. **Supported**: {verdict.sentence}"


def test_drawings_decide_nothing_and_what_the_method_shows_is_a_line_of_its_own():
    verdict = check("run6-best", DRAWINGS, {"run 6": LEARNT}, **BEST)
    assert verdict.verdict == OPEN and "drawings" in verdict.sentence and verdict.n == 100
    line = "What the method shows here: The last run is 10.0 points better on val than run 5, the best of the others."
    assert str(verdict).splitlines()[-1] == line


def test_arithmetic_on_printed_numbers_holds_on_any_data():
    printed = {"printed": {"accuracy": 0.79}, "other": {"accuracy": 0.778}}
    for context in (PHOTOS, DRAWINGS):
        assert check("report-accuracy-follows", context, **printed).verdict == "contradicted"


def test_a_network_that_was_cut_short_decides_nothing_on_its_end_but_on_the_shape_of_its_curve():
    short = check("run6-best", PHOTOS, {"run 6": FALLING, "run 5": LEARNT}, **BEST)
    assert short.verdict == OPEN and "cut short (run 6: its val loss still falls" in short.sentence and short.here
    slope = Estimate(-0.1, -0.15, -0.05, 8, unit=" nats an epoch")
    assert check("run5-loss-still-falling", PHOTOS, value=slope).verdict == "supported"
    assert check("val-loss-not-decreasing", PHOTOS, value=slope).verdict == "contradicted"


@pytest.mark.parametrize(
    ("source", "classes", "decides"),
    [
        ("mame", (), True),
        ("mame-toy", (), True),
        ("sample", tuple(SUPER_GROUPS["metals"]), False),
        ("folder", tuple(SUPER_GROUPS["metals"]), True),
        ("folder", (*SUPER_GROUPS["metals"], "cats"), False),
    ],
)
def test_museum_photographs_are_mame_or_a_folder_of_its_mediums(source, classes, decides):
    verdict = check("imagenet-overlap", Context(source, classes), value=UP)
    assert (verdict.verdict == "supported") == decides and (verdict.verdict == OPEN) != decides


HISTORIES = json.loads((records.PROJECT / "tests" / "data" / "histories.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stored", HISTORIES, ids=lambda history: history["title"])
def test_trainings_labelled_by_hand_are_told_apart(stored):
    history = pd.DataFrame({name: stored[name] for name in ("val_cross_entropy", "clean_accuracy")})
    assert bool(cut_short(history)) == stored["cut_short"], cut_short(history)


def test_two_epochs_or_a_network_that_learnt_little_were_cut_short():
    assert "2 epochs" in cut_short(LEARNT.head(2))
    assert "40 % of its train images" in cut_short(LEARNT.assign(clean_accuracy=0.4))
    assert not cut_short(LEARNT) and not cut_short(LEARNT[["val_cross_entropy"]])


def test_a_long_noisy_curve_falls_only_by_more_than_its_noise():
    def curve(fall: float) -> pd.DataFrame:
        wave = [0.05 * (-1) ** epoch - fall * epoch for epoch in range(40)]
        return pd.DataFrame({"val_cross_entropy": [1.5 + value for value in wave], "clean_accuracy": 0.9})

    assert not cut_short(curve(0.0)) and cut_short(curve(0.02))


# ---- evidence --------------------------------------------------------------------------------------------------------
def test_missing_evidence_is_not_testable_and_says_why():
    assert "must both have been run" in check("b3-best-of-paper", PHOTOS, value=None, rival=None).sentence
    few = check("woven-fabric-divided", PHOTOS, **{"5 images of Woven fabric (4 are here)": None}, network="Net")
    assert few.verdict == OPEN and few.sentence.startswith("5 images of Woven fabric (4 are here): not available")
    both = check("b3-best-of-paper", DRAWINGS, value=None, rival=None)
    assert "drawings" in both.sentence and "must both have been run" in both.here
    assert "package registry" in check("improve-similar-pretraining", PHOTOS).sentence


@pytest.mark.parametrize(
    ("id", "evidence"),
    [
        ("imagenet-overlap", {}),
        ("imagenet-overlap", {"value": UP, "size": 3}),
        ("voting-best", {"value": UP}),
        ("run6-best", BEST),  # without histories
    ],
)
def test_evidence_other_than_what_a_claim_asks_for_is_an_error(id, evidence):
    with pytest.raises(LabError, match=f"Claim {id} is decided on"):
        check(id, PHOTOS, **evidence)


def test_unknown_claims_are_an_error():
    with pytest.raises(LabError, match="no claim 'nonsense'"):
        engine.find("nonsense")


# ---- stored verdicts -------------------------------------------------------------------------------------------------
def test_a_verdict_survives_json():
    verdict = check("voting-best", PHOTOS, value=UP, single="Ridge")
    stored = json.loads(json.dumps(records.plain(verdict)))
    assert stored["evidence"]["value"]["value"] == pytest.approx(0.1)
    assert str(Verdict.of_record(stored)) == str(verdict)


@pytest.mark.parametrize("without", ["n", "interval", "precondition", "sentence", "verdict"])
def test_a_stored_verdict_without_n_interval_or_precondition_is_rejected(without):
    stored = records.plain(check("voting-best", PHOTOS, value=UP, single="Ridge"))
    with pytest.raises(LabError, match="voting-best"):
        Verdict.of_record({name: value for name, value in stored.items() if name != without})
    with pytest.raises(LabError, match="voting-best"):
        Verdict.of_record(stored | {without: 0 if without == "n" else None if without == "interval" else ""})


# ---- notebooks -------------------------------------------------------------------------------------------------------
def code(name: str) -> str:
    """The code of a notebook, without what only IPython understands."""
    cells = json.loads((records.PROJECT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"(?m)^[%!].*$", "", source)


def calls(name: str) -> list[tuple[str, set[str], bool]]:
    """Claim, evidence by name, and whether there is more of it, of each `lab.verdict` in a notebook."""
    nodes = [node for node in ast.walk(ast.parse(code(name))) if isinstance(node, ast.Call)]
    verdicts = [node for node in nodes if ast.unparse(node.func) == "lab.verdict"]
    names = [{keyword.arg for keyword in node.keywords} for node in verdicts]
    return [(node.args[0].value, given - {None}, None in given) for node, given in zip(verdicts, names, strict=True)]


NOTEBOOKS = sorted(path.stem for path in (records.PROJECT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_decides_all_claims_of_its_chapter_on_what_they_ask_for(name):
    given = calls(name)
    own = {id for id, claim in CLAIMS.items() if claim.chapter == name[:2] and "any" not in claim.needs}
    asked = {id for id, *_ in given}
    assert asked <= own and {id for id in own - asked if not CLAIMS[id].undecided} == set()
    for id, evidence, more in given:
        if CLAIMS[id].undecided:
            continue
        wanted = CLAIMS[id].evidence | ({"histories": True} if "trained" in CLAIMS[id].needs else {})
        assert evidence <= set(wanted), id
        assert more or {name for name, needed in wanted.items() if needed} <= evidence, id


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_import_nothing_from_claims_but_the_ledger(name):
    imported = set(re.findall(r"from lab_utils\.claims[.\w]* import .*", code(name)))
    assert imported <= ({"from lab_utils.claims import ledger"} if name == "14_results" else set())
