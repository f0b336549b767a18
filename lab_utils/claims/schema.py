"""The texts of the claims: `texts/NN.yaml`, one file a chapter, read and checked against the rules that decide them."""

import functools
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from lab_utils.claims import words
from lab_utils.claims.rules import CONTRADICTED, OPEN, RULES, SUPPORTED, TIE, Rule
from lab_utils.core.errors import LabError

TEXTS = Path(__file__).parent / "texts"
Sentence = str | dict[str, str]


class Claim(BaseModel):
    """One testable sentence of the original, and what is said of it by verdict.

    Attributes:
        id: short unique name.
        chapter: two digits of the notebook that decides it: the file's name.
        slide: of the original.
        says: the slide's own words (`…` joins several places).
        implicit: what the slide never says but acts on; either this or `says`.
        test: how it is decided.
        needs: what can decide it: `any` (arithmetic on printed numbers), `photographs`, networks `trained` to an end;
            where it says nothing, what the file says.
        rule: name of a rule in `rules.py`. In the text also `{name: {parameter: value}, with: [further evidence]}`.
        parameters: arguments of the rule that are set by the text.
        also: further evidence, which only the sentences use.
        supported: template of the sentence (`words.py`), or one for each case of the rule; so `contradicted` and `tie`.
        missing: a clause: why it can't be tested where evidence is missing (`evidence`), or where the rule says so.
        network: that the original looked at, by its name in the registry.
        erratum: what the original shows as evidence, for statements that were doubted before any run.
        undecided: why no chapter decides it; it has no rule then.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    chapter: str
    slide: int = Field(ge=3, le=34)
    says: str = ""
    implicit: str = ""
    test: str
    needs: tuple[Literal["any", "photographs", "trained"], ...]
    rule: str = ""
    parameters: dict[str, Any] = {}
    also: tuple[str, ...] = ()
    supported: Sentence = ""
    contradicted: Sentence = ""
    tie: Sentence = ""
    missing: Sentence = ""
    network: str = ""
    erratum: str = ""
    undecided: str = ""

    @property
    def said(self) -> str:
        """`says “…”`, or `assumes that …`."""
        return f"says “{self.says}”" if self.says else f"assumes that {self.implicit}"

    @property
    def decider(self) -> Rule:
        """Its rule."""
        return RULES[self.rule]

    @property
    def evidence(self) -> dict[str, bool]:
        """Names of the evidence that it asks for, and whether it can't go without."""
        taken = {
            name: argument.default is argument.empty
            for name, argument in self.decider.arguments.items()
            if argument.kind is not argument.KEYWORD_ONLY and name not in self.parameters
        }
        return taken | dict.fromkeys(self.also, True)

    def template(self, verdict: str, case: str = "") -> str:
        """The sentence of a verdict's case; of not testable ones the clause."""
        text = {SUPPORTED: self.supported, CONTRADICTED: self.contradicted, TIE: self.tie, OPEN: self.missing}[verdict]
        return text if isinstance(text, str) else text.get(case or "rule", "")

    # ---- checks -----------------------------------------------------------------------------------------------------
    @field_validator("needs", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _split_rule(cls, text: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(text.get("rule"), dict):
            return text
        (name, parameters), *others = [(name, given) for name, given in text["rule"].items() if name != "with"]
        if others:
            raise ValueError(f"rule: {others[0][0]} beside {name}")
        return text | {"rule": name, "parameters": parameters, "also": text["rule"].get("with", ())}

    @model_validator(mode="after")
    def _check(self) -> "Claim":
        if bool(self.says) == bool(self.implicit):
            raise ValueError("give either says or implicit")
        if bool(self.rule) == bool(self.undecided):
            raise ValueError("give either a rule or why it is undecided")
        if not self.rule:
            return self
        if self.rule not in RULES:
            raise ValueError(f"{self.rule} is no rule; rules are {', '.join(RULES)}")
        for name, value in self.parameters.items():
            if name not in self.decider.arguments:
                raise ValueError(f"rule {self.rule} has no parameter {name}")
            kind = self.decider.arguments[name].annotation
            try:
                TypeAdapter(Any if isinstance(kind, str) else kind).validate_python(value)
            except ValidationError as error:
                raise ValueError(f"rule {self.rule}, {name}: {error.errors()[0]['msg']}, not {value!r}") from error
        for verdict in (SUPPORTED, CONTRADICTED, TIE, OPEN):
            self._check_sentences(verdict, self.missing if verdict == OPEN else getattr(self, verdict))
        return self

    def _check_sentences(self, verdict: str, text: Sentence) -> None:
        """A verdict has a sentence for each case of the rule, and its sentences ask for evidence that there is."""
        cases, given = self.decider.cases.get(verdict), set(text) if isinstance(text, dict) else set()
        fits = given == set(cases or ()) and bool(text) == (cases is not None)
        if verdict == OPEN:
            fits = given <= {"evidence", *(cases or ("rule",))} and (bool(text) or not cases)
        if not fits:
            raise ValueError(f"{verdict}: rule {self.rule} has the cases {', '.join(cases or ()) or 'none'}")
        known = {*self.evidence, *self.decider.gives, *self.decider.arguments}
        for template in text.values() if isinstance(text, dict) else [text]:
            if unknown := words.placeholders(template) - known:
                raise ValueError(f"{verdict}: unknown placeholder {', '.join(sorted(unknown))}")


def read(folder: Path) -> dict[str, Claim]:
    """The claims of a folder of texts, by id, in the order of the chapters.

    Raises:
        LabError: a text does not fit; the sentence names file, claim and what is wrong.
    """
    claims: dict[str, Claim] = {}
    for path in sorted(folder.glob("[0-9][0-9].yaml")):
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise LabError(f"{path.name} is no YAML: {error}") from error
        for text in content["claims"]:
            try:
                claim = Claim(**{"chapter": path.stem, "needs": content.get("needs"), **text})
            except ValidationError as error:
                where = ".".join(map(str, error.errors()[0]["loc"]))
                what = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise LabError(f"{path.name}, claim {text.get('id')}: {where} {what}.".replace("  ", " ")) from error
            if claim.id in claims:
                raise LabError(f"{path.name}, claim {claim.id}: chapter {claims[claim.id].chapter} has one of this id.")
            claims[claim.id] = claim
    return claims


@functools.cache
def claims() -> dict[str, Claim]:
    """All claims of the original, by id."""
    return read(TEXTS)


@functools.cache
def ledger() -> dict[str, Any]:
    """What the ledger shows beside them: `themes` of the conclusions, `rubric` of the lab."""
    return yaml.safe_load((TEXTS / "ledger.yaml").read_text(encoding="utf-8"))
