"""Chapter 04: the sample of images, the networks' features of it, and what maps and tests show of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.analysis import outliers, projections
from lab_utils.analysis.cohesion import Cohesion, cohesion, divided, halves, nearest_classes
from lab_utils.analysis.feature_tables import check_features
from lab_utils.analysis.lots import big_lot, singleton_groups
from lab_utils.analysis.separability import Separability, separability
from lab_utils.chapters import layouts
from lab_utils.claims import engine as claims
from lab_utils.core import records
from lab_utils.data import pipeline
from lab_utils.display import figures, interactive
from lab_utils.display.bundles import Interactive
from lab_utils.networks import backbones
from lab_utils.stats.intervals import Accuracy, Estimate, mean_estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    from lab_utils.lab import Lab

SHARE = 0.9  # of the variance
ENOUGH = 5  # images of a class that a claim on it needs
Layouts = Mapping[str, np.ndarray]  # name of a map -> (n, 2) or (n, 3)


class Sample:
    """The train images that are drawn in the maps of a run.

    Attributes:
        rows: positions in `lab.images`, (n,).
        labels: (n,).
        names: class names, (n,).
        lots: accession lots, "" for unknown, (n,).
        images: their rows of the image table.
    """

    def __init__(self, lab: "Lab"):
        self.lab, self.settings = lab, lab.settings.projections
        train, labels = lab.rows("train"), lab.labels("train")
        self.rows = projections.sample_rows(labels, train, self.settings.per_class, self.settings.seed)
        self.images: pd.DataFrame = lab.images.iloc[self.rows].reset_index(drop=True)
        self.labels = self.images["label"].to_numpy()
        self.names = np.array(lab.classes)[self.labels]
        self.lots = np.where(self.images["lot"] == "", "", self.images["museum"] + " " + self.images["lot"])

    @property
    def counts(self) -> pd.DataFrame:
        """Images a class in the sample, index the classes."""
        counts = pd.Series(self.names).value_counts().reindex(self.lab.classes, fill_value=0)
        return counts.to_frame("images in the maps")

    def features(self, network: str) -> np.ndarray:
        """A network's features of the sampled images, float32 (n, D).

        Raises:
            LabError: no map can be made of them.
        """
        features = np.asarray(self.lab.features(network)[self.rows])
        check_features(features, name=f"features of {network}")
        return features

    def asked(self, claim: str, spaces: Mapping[str, "Space"]) -> tuple["Space", dict[str, str]]:
        """The space that a claim is tested in: of the network that the original looked at where the run has it.

        Args:
            claim: its id.
            spaces: network -> space.

        Returns:
            The space, and `{"network": its name in words}` for the claim's sentence.
        """
        wanted = claims.find(claim).network
        network = wanted if wanted in spaces else next(iter(spaces))
        words = self.lab.title(network)
        if wanted and network != wanted:
            words += f" (in place of {backbones.backbone(wanted).title})"
        return spaces[network], {"network": words}

    def table(self) -> str:
        """Show what interactive figures share (plotly.js, thumbnails) and give the name of the table of images."""
        key = f"{self.lab.table.data_hash} {records.content_hash(self.rows)}"
        pictures = pipeline.decoded(list(self.images["path"]), interactive.SIDE, key=key)
        key, script = interactive.image_table(
            np.asarray(pictures), list(self.images["file"]), list(self.names), list(self.images["museum"])
        )
        self.lab.share(interactive.plotly_library())
        self.lab.share(script)
        return key

    def lacking(self, *names: str) -> dict[str, None]:
        """What a claim on some classes lacks, as evidence that isn't there: empty where each has `ENOUGH` images."""
        counts = {name: int((self.names == name).sum()) for name in names}
        return {f"{ENOUGH} images of {name} ({n} are here)": None for name, n in counts.items() if n < ENOUGH}

    def sheet(self, positions: np.ndarray, titles: list[str], columns: int = 6) -> "Figure":
        """Pictures of sampled images."""
        shown = self.images.iloc[list(positions)]
        return figures.picture_sheet(list(map(pipeline.thumbnail, shown["path"], shown["aspect"])), titles, columns)


@dataclass
class Space:
    """One network's features of the sampled images.

    Attributes:
        sample: the images.
        network: name in the registry.
        features: float32 (n, D), rows as in `sample.rows`.
        points: first principal components of them, (n, k), which stand for the space in maps and tests.
    """

    sample: Sample
    network: str
    features: np.ndarray = field(repr=False)
    points: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        self.points = np.asarray(self.points, np.float32)
        self._separated: dict[int | None, Separability | None] = {}

    @cached_property
    def model(self) -> Any:
        """The network itself, opened for heat maps."""
        from lab_utils.analysis import class_activation

        model = backbones.build(self.network, weights=self.sample.lab.settings.networks.weights)
        return class_activation.open_network(model, backbones.check_size(self.network, None)[0])

    @cached_property
    def cohesion(self) -> Cohesion:
        """Purity and silhouette of each image."""
        return cohesion(self.points, self.sample.labels, self.sample.settings.neighbours)

    def separability(self, dims: int | None = None) -> Separability | None:
        """Linear separability of the three groups in the first `dims` components; None: all that are kept."""
        sample, use = self.sample, self.sample.settings
        if dims not in self._separated:
            points, options = self.points[:, :dims], {"permutations": use.permutations, "seed": use.seed}
            self._separated[dims] = separability(points, sample.labels, sample.lab.classes, lots=sample.lots, **options)
        return self._separated[dims]

    def trust(self, layout: np.ndarray) -> float:
        """Trustworthiness of a map, (n, d)."""
        return projections.trustworthiness(self.features, layout)

    def titled(self, maps: Layouts) -> dict[str, np.ndarray]:
        """Maps by the title that figures give them: name, and how far their neighbourhoods can be trusted."""
        return {f"{name}, trustworthiness {self.trust(layout):.2f}": layout for name, layout in maps.items()}

    def interactive(self, maps: Layouts, key: str) -> Interactive:
        """The 3-D figure with its switches, and a static twin of its first map but one."""
        titled = self.titled(maps)
        names = ["component" if name == "PCA" else name for name in maps]
        axes = {title: [f"{name} {axis}" for axis in (1, 2, 3)] for title, name in zip(titled, names, strict=True)}
        shown = list(titled)[min(1, len(titled) - 1)]
        twin = figures.scatter(titled[shown], self.sample.names, shown, axes[shown])
        return interactive.scatter_3d(key, range(len(self.sample.rows)), titled, twin, axes)


# ---- tables ----------------------------------------------------------------------------------------------------------
def components_table(sample: Sample, pcas: Mapping[str, "PCA"], reported: pd.DataFrame) -> pd.DataFrame:
    """Components for nine tenths of the variance: computed for the run's networks, reported for the original's.

    Args:
        sample: the images.
        pcas: network -> principal components of its features, all of them kept.
        reported: `data/reported/components.csv`.
    """
    here = [
        (sample.lab.title(name), projections.components_for(pca, SHARE), pca.n_features_in_, len(sample.rows), "here")
        for name, pca in pcas.items()
    ]
    there = [(row.network, row.components, row.features, None, "reported") for row in reported.itertuples()]
    columns = ["network", f"components for {SHARE}", "features", "images", "source"]
    table = pd.DataFrame(here + there, columns=columns)
    return table.astype({"images": "Int64", columns[1]: "Int64", "features": "Int64"})


def before_umap(space: Space, mapper: Any) -> pd.DataFrame:
    """UMAP of all features against UMAP of a hundred components: seconds that they took, and trustworthiness."""
    lines = []
    for name, table in (("100 components first", space.points), ("on all features", space.features)):
        trust = space.trust(layouts.fit_transform(mapper, table))
        lines.append((name, round(layouts.seconds(mapper, table), 1), round(trust, 3)))
    return pd.DataFrame(lines, columns=["UMAP", "seconds", "trustworthiness"])


def separability_table(spaces: Mapping[str, Space]) -> pd.DataFrame:
    """Held-out accuracy of separating the three groups, by network and space."""
    lines = []
    for network, by_network in spaces.items():
        title = by_network.sample.lab.title(network)
        for space, dims in (("feature space", None), ("3-D PCA", 3)):
            parted = by_network.separability(dims)
            if parted:
                lines.append((title, space, parted.held, parted.fitted, parted.chance, f"{parted.p:.3f}"))
    columns = ["network", "space", "held-out images", "images fitted on", "random groups (mean, range)", "p"]
    return pd.DataFrame(lines, columns=columns)


# ---- outliers --------------------------------------------------------------------------------------------------------
def outlier_table(space: Space, most: int = 12) -> pd.DataFrame:
    """The images that stand out most in a feature space."""
    sample = space.sample
    scores = outliers.outlier_scores(space.points)
    order = np.argsort(-scores, kind="stable")[:most]
    shown = sample.images.iloc[order][["file", "medium", "museum", "lot"]]
    shown = shown.loc[:, [column for column in shown if (shown[column] != "").any()]]
    return shown.assign(score=scores[order].round(2), position=order).reset_index(drop=True)


def clusters(space: Space, layout: np.ndarray) -> list[outliers.Cluster]:
    """Far small clusters of a network's map, (n, d)."""
    return outliers.far_clusters(space.points, layout, space.sample.labels, space.sample.lots)


def cluster_table(sample: Sample, clusters: list[outliers.Cluster], most: int = 8) -> pd.DataFrame:
    """The most isolated clusters in words."""
    columns = ["images", "commonest class", "of that class", "commonest lot", "of that lot", "lots", "isolation"]
    lines = [
        (
            len(cluster.members),
            sample.lab.classes[cluster.label],
            f"{100 * cluster.share:.0f} %",
            cluster.lot or "unknown",
            f"{100 * cluster.lot_share:.0f} %",
            cluster.lots,
            round(cluster.isolation, 2),
        )
        for cluster in clusters[:most]
    ]
    return pd.DataFrame(lines, columns=columns)


def cluster_sheet(space: Space, cluster: outliers.Cluster, most: int = 6) -> "Figure":
    """First members of a cluster, each above its heat map for the ImageNet class that the network puts first."""
    from lab_utils.analysis import class_activation

    members = cluster.members[:most]
    size = backbones.check_size(space.network, None)[0]
    images = np.asarray(space.sample.lab.pixels(size)[space.sample.rows[members]])
    heat = class_activation.grad_cam(space.model, np.asarray(backbones.preprocess(space.network, np.float32(images))))
    shown = space.sample.images.iloc[members]
    titles = [", ".join(filter(None, (row.medium, row.lot))) for row in shown.itertuples()]
    nothing = [None] * len(members)
    return figures.overlays([*images, *images], [*nothing, *heat], [*titles, *[""] * len(members)], len(members))


def suspects(space: Space) -> pd.DataFrame:
    """Suspected label errors among the sampled images, with names."""
    sample = space.sample
    doubted = outliers.suspected_labels(space.points, sample.labels, sample.lots, seed=sample.settings.seed)
    named = {column: np.array(sample.lab.classes)[doubted[column]] for column in ("label", "suggested")}
    return doubted.assign(file=sample.images["file"].to_numpy()[doubted["position"]], **named)


def duplicates(space: Space) -> pd.DataFrame:
    """Near-identical images of train and of val or test, by the network's features of all images."""
    lab, least = space.sample.lab, space.sample.settings.duplicate
    features = np.asarray(lab.features(space.network))
    pairs = outliers.near_duplicates(features, lab.rows("train"), lab.rows("val", "test"), least)
    for side in ("first", "second"):
        part = lab.images.iloc[pairs[side]]
        pairs[f"{side} file"], pairs[f"{side} group"] = part["file"].to_numpy(), part["group"].to_numpy()
        pairs[f"{side} medium"] = part["medium"].where(part["subset"] != "test", "").to_numpy()  # test isn't read here
    pairs["same object"] = (pairs["first group"] == pairs["second group"]) & (pairs["first group"] != "")
    return pairs.drop(columns=["first group", "second group"])


def duplicate_sheet(sample: Sample, pairs: pd.DataFrame, most: int = 6) -> "Figure":
    """The most alike pairs, train above, val or test below."""
    shown = pairs.head(most)
    rows = sample.lab.images.iloc[[*shown["first"], *shown["second"]]]
    titles = [row.subset if row.subset == "test" else f"{row.medium} ({row.subset})" for row in rows.itertuples()]
    return figures.picture_sheet(list(map(pipeline.thumbnail, rows["path"], rows["aspect"])), titles, len(shown))


def reasons(space: Space, pairs: pd.DataFrame, doubted: pd.DataFrame, most: int = 50) -> dict[str, Any]:
    """What the outlying images have to do with lots, duplicates and labels: evidence of `features-show-outliers`."""
    sample = space.sample
    scores = outliers.outlier_scores(space.points)
    flagged = np.zeros(len(scores), bool)
    flagged[np.argsort(-scores, kind="stable")[: min(most, len(scores) // 5)]] = True
    reason = np.isin(sample.rows, pairs["first"]) | np.isin(np.arange(len(scores)), doubted["position"])
    for label in np.unique(sample.labels):
        lot, share = big_lot(sample.lots, sample.labels == label)
        reason |= (sample.labels == label) & (sample.lots == lot) & (share >= sample.settings.big_lot) & (lot != "")
    difference = outliers.explained(flagged, reason, sample.labels, sample.lots)
    groups = singleton_groups(sample.lots)[flagged]
    share = Accuracy.from_hits(reason[flagged], "flagged images with a reason", groups)
    return {"share": share, "difference": difference}


# ---- evidence for the claims -----------------------------------------------------------------------------------------
def albumen(space: Space, name: str = "Albumen photograph") -> dict[str, Any]:
    """Where a class stands among all, with and without its big lot."""
    sample = space.sample
    if sample.lacking(name):
        return sample.lacking(name)
    label, classes = sample.lab.classes.index(name), sample.lab.classes
    lot, share = big_lot(sample.lots, sample.labels == label)
    evidence = {"whole": space.cohesion.standing(label, classes, sample.lots), "lot": lot, "lot_share": share}
    kept = (sample.labels != label) | (sample.lots != lot)
    if lot and (sample.labels[kept] == label).sum() >= ENOUGH:
        rest = cohesion(space.points[kept], sample.labels[kept], sample.settings.neighbours)
        evidence["without"] = rest.standing(label, classes, sample.lots[kept])
    return evidence


def connection(space: Space, name: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Ranks of the wanted classes among the foreign neighbours of a class (0: no neighbour is of that class)."""
    sample = space.sample
    if sample.lacking(name, *wanted):
        return sample.lacking(name, *wanted)
    label, *labels = (sample.lab.classes.index(kind) for kind in (name, *wanted))
    shares = space.cohesion.neighbour_shares(len(sample.lab.classes))[label]
    order = [sample.lab.classes[place] for place in np.argsort(-shares, kind="stable")]
    places = zip(wanted, labels, strict=True)
    ranks = {kind: order.index(kind) + 1 if shares[other] > 0 else 0 for kind, other in places}
    return {"ranks": ranks, "first": [kind for kind in order[:3] if shares[sample.lab.classes.index(kind)] > 0]}


def woven_halves(space: Space, name: str = "Woven fabric") -> tuple[list[np.ndarray], dict[str, Any]]:
    """Two clusters of a class: positions of each (none where it is too small) and the classes nearest to each."""
    sample = space.sample
    if sample.lacking(name):
        return [], sample.lacking(name)
    members = np.flatnonzero(sample.names == name)
    side = halves(space.points, members, sample.settings.seed)
    parts = [members[side == number] for number in (0, 1)]
    near = [nearest_classes(space.cohesion, part, sample.lab.classes) for part in parts]
    return parts, {"near": near}


def halves_sheet(sample: Sample, parts: list[np.ndarray], each: int = 6) -> "Figure":
    """The first pictures of two groups, a row each."""
    chosen = [part[:each] for part in parts]
    titles = [f"group {place + 1}" for place, part in enumerate(chosen) for _ in part]
    return sample.sheet(np.concatenate(chosen), titles, columns=each)


# ---- in words --------------------------------------------------------------------------------------------------------
def _purity(space: Space, layout: np.ndarray) -> np.ndarray:
    """Share of each image's nearest others on a map that are of its class, (n,)."""
    return cohesion(layout, space.sample.labels, space.sample.settings.neighbours).purity


def suspect_titles(doubted: pd.DataFrame, most: int = 6) -> list[str]:
    """Label and suggestion of the most doubted images."""
    return [f"{row.label}, or {row.suggested}?" for row in doubted.head(most).itertuples()]


def suspects_words(sample: Sample, doubted: pd.DataFrame) -> str:
    """How many labels are doubted, and which pair of classes most often."""
    if (sample.counts >= 2).to_numpy().sum() < 2:
        return "No label can be checked: that takes two classes with two train images each."
    if not len(doubted):
        return f"No label of the {len(sample.rows):,} images is doubted."
    few = sample.counts.iloc[:, 0].median()
    pair, times = doubted.groupby(["label", "suggested"]).size().pipe(lambda counts: (counts.idxmax(), counts.max()))
    return (
        f"{len(doubted)} of {len(sample.rows):,} labels are doubted, most often {pair[0]} that looks like {pair[1]} "
        f"({times}). A doubted label is a picture to look at: confusable classes are doubted too, without being wrong"
        f"{f', and {few:.0f} images a class are few to learn from' if few < 10 else ''}."
    )


def duplicates_words(sample: Sample, pairs: pd.DataFrame) -> str:
    """How many near-duplicates there are across splits, and how many are known parts of one object."""
    bound = f"cosine of features of at least {sample.settings.duplicate}, each the other's nearest"
    if not len(pairs):
        return f"No val or test image has a near-duplicate in train ({bound})."
    same = int(pairs["same object"].sum())
    return (
        f"{len(pairs)} val or test images have a near-duplicate in train ({bound}); {same} of them are known parts of "
        "one object. Accuracy on these tells little about new objects."
    )


def lost_on_map(space: Space, layout: np.ndarray) -> Estimate:
    """Neighbours of the same class in the space minus those on a map, mean over images, in points."""
    gain, lots = space.cohesion.purity - _purity(space, layout), singleton_groups(space.sample.lots)
    return mean_estimate(gain, "lost on the map", lots, scale=100, unit=" points", digits=1)


def decision(space: Space, maps: Layouts) -> tuple[str, str, str]:
    """What the chapter hands on: what, because, instead of what; by the 3-D maps `PCA` and `UMAP`."""
    low = ", ".join(space.cohesion.table(space.sample.lab.classes).index[-3:])
    return decision_words(lost_on_map(space, maps["UMAP"]), [space.trust(maps[name]) for name in ("PCA", "UMAP")], low)


def decision_words(lost: Estimate, trust: Sequence[float], low: str) -> tuple[str, str, str]:
    """The decision in words.

    Args:
        lost: neighbours of the same class in the space minus those on the 3-D UMAP.
        trust: trustworthiness of the 3-D PCA and UMAP.
        low: the classes with the most mixed neighbourhoods.
    """
    says = (
        "the 3-D UMAP loses neighbours of the same class"
        if lost.low > 0
        else "the 3-D UMAP brings more images beside others of their class than the space does: no picture of it"
        if lost.high < 0
        else "the 3-D UMAP is not shown to lose neighbours of the same class, but a map is no test"
    )
    return (
        "Chapter 05 classifies on all features; maps stay pictures.",
        f"{says} (share in the space minus share on the map {lost}; trustworthiness of PCA {trust[0]:.2f}, of UMAP "
        f"{trust[1]:.2f}); the most mixed neighbourhoods are those of {low}.",
        "the original's way, which gives the classifiers eight dimensions of a UMAP; it is measured beside.",
    )


def purest(space: Space, kept: int) -> str:
    """The class that keeps together best in the first components: the answer of exercise 2."""
    return str(cohesion(space.points[:, :kept], space.sample.labels).table(space.sample.lab.classes).index[0])


def division(space: Space, name: str = "Woven fabric") -> dict[str, Any]:
    """Shares of a class that lie near materials only and near drawings only, and its rank by how divided it is."""
    sample = space.sample
    if sample.lacking(name):
        return sample.lacking(name)
    division = divided(space.cohesion, sample.lab.classes.index(name), sample.lab.classes, sample.lots)
    if division is None:
        return {"parts": None}
    parts = {"materials": division.first, "drawings": division.second}
    return {"parts": parts, "rank": division.rank, "classes": division.classes}
