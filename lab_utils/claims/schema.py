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


class Decision(BaseModel):
    """Which rule decides a claim.

    Attributes:
        name: of the function in `rules.py`.
        parameters: its arguments that are set here.
        also: further evidence that only the sentences use (`with` in the text).
    """

    model_config = ConfigDict(frozen=True)

    name: str
    parameters: dict[str, Any]
    also: tuple[str, ...]

    @property
    def rule(self) -> Rule:
        """The function with its cases."""
        return RULES[self.name]

    @property
    def evidence(self) -> dict[str, bool]:
        """Names of the evidence that it takes, and whether it can't go without."""
        taken = {
            name: one.default is one.empty
            for name, one in self.rule.arguments.items()
            if one.kind is not one.KEYWORD_ONLY and name not in self.parameters
        }
        return taken | dict.fromkeys(self.also, True)


class Claim(BaseModel):
    """One testable sentence of the original, and what is said of it by verdict.

    Attributes:
        id: short unique name.
        chapter: two digits of the notebook that decides it.
        slide: of the original.
        says: the slide's own words (`…` joins several places).
        implicit: what the slide never says but acts on; either this or `says`.
        test: how it is decided.
        needs: what can decide it: `any` (arithmetic on printed numbers), `photographs`, networks `trained` to an end.
        rule: that decides it; in the text its name, or `{name: {parameter: value}, with: [further evidence]}`.
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
    rule: Decision | None = None
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

    def template(self, verdict: str, case: str = "") -> str:
        """The sentence of a verdict's case."""
        found = {SUPPORTED: self.supported, CONTRADICTED: self.contradicted, TIE: self.tie, OPEN: self.missing}[verdict]
        return found if isinstance(found, str) else found.get(case or "rule", "")

    @field_validator("needs", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("rule", mode="before")
    @classmethod
    def _decision(cls, value: Any) -> Any:
        also = tuple(value.get("with", ())) if isinstance(value, dict) else ()
        named = {value: {}} if isinstance(value, str) else {key: one for key, one in value.items() if key != "with"}
        name, parameters = next(iter(named.items()))
        if len(named) != 1 or name not in RULES:
            raise ValueError(f"{', '.join(named)} is no rule; rules are {', '.join(RULES)}")
        for key, one in parameters.items():
            argument = RULES[name].arguments.get(key)
            if argument is None:
                raise ValueError(f"rule {name} has no parameter {key}")
            try:
                TypeAdapter(Any if isinstance(argument.annotation, str) else argument.annotation).validate_python(one)
            except ValidationError as error:
                raise ValueError(f"rule {name}, {key}: {error.errors()[0]['msg']}, not {one!r}") from error
        return Decision(name=name, parameters=parameters, also=also)

    @model_validator(mode="after")
    def _whole(self) -> "Claim":
        if bool(self.says) == bool(self.implicit):
            raise ValueError("give either says or implicit")
        if bool(self.rule) == bool(self.undecided):
            raise ValueError("give either a rule or why it is undecided")
        for verdict in (SUPPORTED, CONTRADICTED, TIE, OPEN) if self.rule else ():
            self._check(verdict, getattr(self, "missing" if verdict == OPEN else verdict))
        return self

    def _check(self, verdict: str, given: Sentence) -> None:
        """A verdict has a sentence for each case of the rule, and its sentences ask for evidence that there is."""
        cases = self.rule.rule.cases.get(verdict)
        reasons = set(given) if isinstance(given, dict) else set()
        if verdict == OPEN:
            fits = reasons <= {"evidence", *(cases or ("rule",))} and (bool(given) or not cases)
        else:
            fits = reasons == set(cases or ()) and bool(given) == (cases is not None)
        if not fits:
            raise ValueError(f"{verdict}: rule {self.rule.name} has the cases {', '.join(cases or ()) or 'none'}")
        known = {*self.rule.evidence, *self.rule.rule.gives, *self.rule.rule.arguments}
        for sentence in given.values() if isinstance(given, dict) else [given]:
            if unknown := words.placeholders(sentence) - known:
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
            except (ValidationError, TypeError) as error:
                first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
                where = ".".join(map(str, first["loc"]))
                raise LabError(f"{path.name}, claim {text.get('id')}: {where} {first['msg']}.") from error
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
