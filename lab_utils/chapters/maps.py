"""Chapter 04: the sample of images, the networks' features of it, layouts that are kept, and what they show."""

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.analysis import outliers, projections
from lab_utils.analysis.cohesion import Cohesion, cohesion, divided, halves, nearest_classes
from lab_utils.analysis.lots import big_lot, singleton_groups
from lab_utils.analysis.separability import Separability, separability
from lab_utils.claims import engine as claims
from lab_utils.core import records
from lab_utils.core.store import Artefact
from lab_utils.data import pipeline
from lab_utils.display import figures, interactive
from lab_utils.display.bundles import Interactive
from lab_utils.networks import backbones
from lab_utils.stats.intervals import Accuracy, Estimate, mean_estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lab_utils.lab import Lab

FOLDER = records.PROJECT / "data" / "cache" / "projections"
AXES = {"pca": "component {}", "t-sne": "t-SNE {}", "umap": "UMAP {}", "supervised umap": "supervised UMAP {}"}
SHARE = 0.9  # of the variance
ENOUGH = 5  # images of a class that a claim on it needs


class SampledSpace:
    """One network's features of the sampled images, with their components and layouts.

    Attributes:
        network: name in the registry.
        features: float32 (n, D), rows as in `Maps.rows`.
    """

    def __init__(self, maps: "Maps", network: str):
        self.maps, self.network = maps, network
        self._separated: dict[int | None, Separability | None] = {}
        self.features = np.asarray(maps.lab.features(network)[maps.rows])

    @cached_property
    def components(self) -> projections.Components:
        """Principal components of the features."""
        return projections.components(self.features, name=f"features of {self.network}")

    @cached_property
    def model(self) -> Any:
        """The network itself, opened for heat maps."""
        from lab_utils.analysis import class_activation

        model = backbones.build(self.network, weights=self.maps.lab.settings.networks.weights)
        return class_activation.open_network(model, backbones.check_size(self.network, None)[0])

    @property
    def points(self) -> np.ndarray:
        """The first hundred components, which stand for the space in maps and tests."""
        return self.components.points

    @cached_property
    def cohesion(self) -> Cohesion:
        """Purity and silhouette of each image."""
        return cohesion(self.points, self.maps.labels, self.maps.settings.neighbours)

    def layout(self, method: str, dims: int = 3, raw: bool = False) -> np.ndarray:
        """Load a layout or compute it; `raw` gives UMAP the features themselves instead of their components."""
        return self._stored(method, dims, raw)["points"]

    def seconds(self, method: str, dims: int = 3, raw: bool = False) -> float:
        """What a layout took when it was computed."""
        return float(self._stored(method, dims, raw)["seconds"])

    def _stored(self, method: str, dims: int, raw: bool) -> dict[str, np.ndarray]:
        use, points = self.maps.settings, self.features if raw else self.points
        options = {"dims": dims, "seed": use.seed, "neighbours": use.umap_neighbours, "epochs": use.epochs}
        options["labels"] = self.maps.labels if method == "supervised umap" else None
        key = {"points": records.content_hash(np.ascontiguousarray(points).tobytes()), "shape": points.shape, **options}
        key |= {"method": method, "versions": records.versions("umap-learn", "openTSNE", "scikit-learn")}
        code = (projections.__name__,)
        artefact = Artefact.under(FOLDER, method.replace(" ", "-"), key, code, suffix=".npz")

        def write(path: Path) -> None:
            start = time.perf_counter()
            layout = projections.embed(points, method, **options)
            np.savez(path, points=layout, seconds=np.float64(time.perf_counter() - start))

        artefact.load_or_make(write, title=f"{method} of {self.network}")
        return dict(np.load(artefact.path))

    def titled(self, methods: tuple[str, ...], dims: int) -> dict[str, np.ndarray]:
        """Layouts by the title that figures give them, trustworthiness included."""
        layouts = {method: self.layout(method, dims) for method in methods}
        return {self.title(method, layout): layout for method, layout in layouts.items()}

    def title(self, method: str, layout: np.ndarray) -> str:
        """Name of a map and how far its neighbourhoods can be trusted."""
        name = {"pca": "PCA", "t-sne": projections.tsne_title(), "umap": "UMAP", "supervised umap": "supervised UMAP"}
        trust = projections.trustworthiness(self.features, layout)
        return f"{name[method]}, trustworthiness {trust:.2f}"

    def separability(self, dims: int | None = None) -> Separability | None:
        """Linear separability of the three groups in the first `dims` components; None: all hundred."""
        maps, use = self.maps, self.maps.settings
        if dims not in self._separated:
            points = self.components.points[:, :dims]
            self._separated[dims] = separability(
                points, maps.labels, maps.lab.classes, lots=maps.lots, permutations=use.permutations, seed=use.seed
            )
        return self._separated[dims]

    def interactive(self, methods: tuple[str, ...], key: str) -> Interactive:
        """The 3-D figure with its switches, and a static twin of its first map but one."""
        layouts = self.titled(methods, 3)
        axes = {
            title: [AXES[method].format(axis) for axis in (1, 2, 3)]
            for title, method in zip(layouts, methods, strict=True)
        }
        shown = list(layouts)[min(1, len(layouts) - 1)]
        twin = figures.scatter(layouts[shown], self.maps.names, shown, axes[shown])
        return interactive.scatter_3d(key, range(len(self.maps.rows)), layouts, twin, axes)


class Maps:
    """The sampled train images of a run and the feature spaces of its networks.

    Attributes:
        rows: positions in `lab.images`, (n,).
        labels: (n,).
        names: class names, (n,).
        lots: accession lots, "" for unknown, (n,).
        images: their rows of the image table.
    """

    def __init__(self, lab: "Lab"):
        lab.need_images(train=projections.FEWEST, of_a_class=2)
        self.lab, self.settings = lab, lab.settings.projections
        train, labels = lab.rows("train"), lab.labels("train")
        self.rows = projections.sample_rows(labels, train, self.settings.per_class, self.settings.seed)
        self.images: pd.DataFrame = lab.images.iloc[self.rows].reset_index(drop=True)
        self.labels = self.images["label"].to_numpy()
        self.names = np.array(lab.classes)[self.labels]
        self.lots = np.where(self.images["lot"] == "", "", self.images["museum"] + " " + self.images["lot"])
        self._spaces: dict[str, SampledSpace] = {}

    def __getitem__(self, network: str) -> SampledSpace:
        if network not in self._spaces:
            self._spaces[network] = SampledSpace(self, network)
        return self._spaces[network]

    @property
    def counts(self) -> pd.DataFrame:
        """Images a class in the sample, index the classes."""
        counts = pd.Series(self.names).value_counts().reindex(self.lab.classes, fill_value=0)
        return counts.to_frame("images in the maps")

    def asked(self, claim: str) -> tuple[SampledSpace, dict[str, str]]:
        """The space that a claim is tested in, the network that the original looked at where the run has it.

        Args:
            claim: its id.

        Returns:
            The space, and `{"network": its name in words}` for the claim's sentence.
        """
        wanted = claims.find(claim).network
        network = wanted if wanted in self.lab.networks else self.lab.networks[0]
        words = self.lab.title(network)
        if wanted and network != wanted:
            words += f" (in place of {backbones.backbone(wanted).title})"
        return self[network], {"network": words}

    def methods(self, network: str) -> tuple[str, ...]:
        """Maps of a network: t-SNE is made for as many of them as the profile says."""
        place = self.lab.networks.index(network)
        slow = ("t-sne",) if place < self.settings.tsne_networks else ()
        return ("pca", "umap", *slow, "supervised umap")

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


# ---- tables ----------------------------------------------------------------------------------------------------------
def components_table(maps: Maps, reported: pd.DataFrame) -> pd.DataFrame:
    """Components for nine tenths of the variance: computed for the run's networks, reported for the original's."""
    here = [
        (
            maps.lab.title(name),
            maps[name].components.reaching(SHARE),
            maps[name].features.shape[1],
            len(maps.rows),
            "here",
        )
        for name in maps.lab.networks
    ]
    there = [(row.network, row.components, row.features, None, "reported") for row in reported.itertuples()]
    columns = ["network", f"components for {SHARE}", "features", "images", "source"]
    table = pd.DataFrame(here + there, columns=columns)
    return table.astype({"images": "Int64", columns[1]: "Int64", "features": "Int64"})


def before_umap(space: SampledSpace) -> pd.DataFrame:
    """UMAP of all features against UMAP of a hundred components: seconds that they took, and trustworthiness."""
    lines = []
    for name, raw in (("100 components first", False), ("on all features", True)):
        trust = projections.trustworthiness(space.features, space.layout("umap", 3, raw))
        lines.append((name, round(space.seconds("umap", 3, raw), 1), round(trust, 3)))
    return pd.DataFrame(lines, columns=["UMAP", "seconds", "trustworthiness"])


def separability_table(maps: Maps) -> pd.DataFrame:
    """Held-out accuracy of separating the three groups, by network and space."""
    lines = []
    for name in maps.lab.networks:
        for space, dims in (("feature space", None), ("3-D PCA", 3)):
            parted = maps[name].separability(dims)
            if parted:
                lines.append(
                    (maps.lab.title(name), space, parted.held, parted.fitted, parted.chance, f"{parted.p:.3f}")
                )
    columns = ["network", "space", "held-out images", "images fitted on", "random groups (mean, range)", "p"]
    return pd.DataFrame(lines, columns=columns)


# ---- outliers --------------------------------------------------------------------------------------------------------
def outlier_table(maps: Maps, space: SampledSpace, most: int = 12) -> pd.DataFrame:
    """The images that stand out most in a feature space."""
    scores = outliers.outlier_scores(space.points)
    order = np.argsort(-scores, kind="stable")[:most]
    shown = maps.images.iloc[order][["file", "medium", "museum", "lot"]]
    shown = shown.loc[:, [column for column in shown if (shown[column] != "").any()]]
    return shown.assign(score=scores[order].round(2), position=order).reset_index(drop=True)


def clusters(maps: Maps, space: SampledSpace) -> list[outliers.Cluster]:
    """Far small clusters of a network's UMAP."""
    return outliers.far_clusters(space.points, space.layout("umap", 3), maps.labels, maps.lots)


def cluster_table(maps: Maps, clusters: list[outliers.Cluster], most: int = 8) -> pd.DataFrame:
    """The most isolated clusters in words."""
    lines = [
        (
            *(
                len(cluster.members),
                maps.lab.classes[cluster.label],
                f"{100 * cluster.share:.0f} %",
                cluster.lot or "unknown",
            ),
            *(f"{100 * cluster.lot_share:.0f} %", cluster.lots, round(cluster.isolation, 2)),
        )
        for cluster in clusters[:most]
    ]
    columns = ["images", "commonest class", "of that class", "commonest lot", "of that lot", "lots", "isolation"]
    return pd.DataFrame(lines, columns=columns)


def cluster_sheet(maps: Maps, network: str, cluster: outliers.Cluster, most: int = 6) -> "Figure":
    """First members of a cluster, each above its heat map for the ImageNet class that the network puts first."""
    from lab_utils.analysis import class_activation

    rows = maps.rows[cluster.members[:most]]
    size = backbones.check_size(network, None)[0]
    images = np.asarray(maps.lab.pixels(size)[rows])
    heat = class_activation.grad_cam(
        maps[network].model, np.asarray(backbones.preprocess(network, images.astype(np.float32)))
    )
    shown = maps.images.iloc[cluster.members[:most]]
    titles = [", ".join(filter(None, (row.medium, row.lot))) for row in shown.itertuples()]
    nothing = [None] * len(rows)
    return figures.overlays([*images, *images], [*nothing, *heat], [*titles, *[""] * len(rows)], columns=len(rows))


def suspects(maps: Maps, space: SampledSpace) -> pd.DataFrame:
    """Suspected label errors among the sampled images, with names."""
    doubted = outliers.suspected_labels(space.points, maps.labels, maps.lots, seed=maps.settings.seed)
    named = {column: np.array(maps.lab.classes)[doubted[column]] for column in ("label", "suggested")}
    return doubted.assign(file=maps.images["file"].to_numpy()[doubted["position"]], **named)


def duplicates(maps: Maps, network: str) -> pd.DataFrame:
    """Near-identical images of train and of val or test, by a network's features of all images."""
    lab = maps.lab
    features = np.asarray(lab.features(network))
    pairs = outliers.near_duplicates(features, lab.rows("train"), lab.rows("val", "test"), maps.settings.duplicate)
    for side in ("first", "second"):
        part = lab.images.iloc[pairs[side]]
        pairs[f"{side} file"], pairs[f"{side} group"] = part["file"].to_numpy(), part["group"].to_numpy()
        pairs[f"{side} medium"] = part["medium"].where(part["subset"] != "test", "").to_numpy()  # test isn't read here
    pairs["same object"] = (pairs["first group"] == pairs["second group"]) & (pairs["first group"] != "")
    return pairs.drop(columns=["first group", "second group"])


def duplicate_sheet(maps: Maps, pairs: pd.DataFrame, most: int = 6) -> "Figure":
    """The most alike pairs, train above, val or test below."""
    shown = pairs.head(most)
    rows = maps.lab.images.iloc[[*shown["first"], *shown["second"]]]
    titles = [row.subset if row.subset == "test" else f"{row.medium} ({row.subset})" for row in rows.itertuples()]
    return figures.picture_sheet(list(map(pipeline.thumbnail, rows["path"], rows["aspect"])), titles, len(shown))


def reasons(
    maps: Maps, space: SampledSpace, pairs: pd.DataFrame, doubted: pd.DataFrame, most: int = 50
) -> dict[str, Any]:
    """What the outlying images have to do with lots, duplicates and labels: evidence of `features-show-outliers`."""
    scores = outliers.outlier_scores(space.points)
    flagged = np.zeros(len(scores), bool)
    flagged[np.argsort(-scores, kind="stable")[: min(most, len(scores) // 5)]] = True
    reason = np.isin(maps.rows, pairs["first"]) | np.isin(np.arange(len(scores)), doubted["position"])
    for label in np.unique(maps.labels):
        lot, share = big_lot(maps.lots, maps.labels == label)
        reason |= (maps.labels == label) & (maps.lots == lot) & (share >= maps.settings.big_lot) & (lot != "")
    difference = outliers.explained(flagged, reason, maps.labels, maps.lots)
    groups = singleton_groups(maps.lots)[flagged]
    share = Accuracy.from_hits(reason[flagged], "flagged images with a reason", groups)
    return {"share": share, "difference": difference}


# ---- evidence for the claims -----------------------------------------------------------------------------------------
def albumen(maps: Maps, space: SampledSpace, name: str = "Albumen photograph") -> dict[str, Any]:
    """Where a class stands among all, with and without its big lot."""
    if maps.lacking(name):
        return maps.lacking(name)
    label, classes = maps.lab.classes.index(name), maps.lab.classes
    lot, share = big_lot(maps.lots, maps.labels == label)
    evidence = {"whole": space.cohesion.standing(label, classes, maps.lots), "lot": lot, "lot_share": share}
    kept = (maps.labels != label) | (maps.lots != lot)
    if lot and (maps.labels[kept] == label).sum() >= ENOUGH:
        rest = cohesion(space.points[kept], maps.labels[kept], maps.settings.neighbours)
        evidence["without"] = rest.standing(label, classes, maps.lots[kept])
    return evidence


def connection(maps: Maps, space: SampledSpace, name: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Ranks of the wanted classes among the foreign neighbours of a class (0: no neighbour is of that class)."""
    if maps.lacking(name, *wanted):
        return maps.lacking(name, *wanted)
    label, *labels = (maps.lab.classes.index(kind) for kind in (name, *wanted))
    shares = space.cohesion.neighbour_shares(len(maps.lab.classes))[label]
    order = [maps.lab.classes[place] for place in np.argsort(-shares, kind="stable")]
    places = zip(wanted, labels, strict=True)
    ranks = {kind: order.index(kind) + 1 if shares[other] > 0 else 0 for kind, other in places}
    return {"ranks": ranks, "first": [kind for kind in order[:3] if shares[maps.lab.classes.index(kind)] > 0]}


def woven_halves(
    maps: Maps, space: SampledSpace, name: str = "Woven fabric"
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Two clusters of a class: positions of each (none where it is too small) and the classes nearest to each."""
    if maps.lacking(name):
        return [], maps.lacking(name)
    members = np.flatnonzero(maps.names == name)
    side = halves(space.points, members, maps.settings.seed)
    parts = [members[side == number] for number in (0, 1)]
    near = [nearest_classes(space.cohesion, part, maps.lab.classes) for part in parts]
    return parts, {"near": near}


def halves_sheet(maps: Maps, parts: list[np.ndarray], each: int = 6) -> "Figure":
    """The first pictures of two groups, a row each."""
    chosen = [part[:each] for part in parts]
    titles = [f"group {place + 1}" for place, part in enumerate(chosen) for _ in part]
    return maps.sheet(np.concatenate(chosen), titles, columns=each)


# ---- in words --------------------------------------------------------------------------------------------------------
def counts_words(maps: Maps) -> str:
    """How many images the maps show of each class."""
    counts = maps.counts.iloc[:, 0]
    return f"{len(maps.rows):,} train images, {counts.min()} to {counts.max()} a class."


def components_words(maps: Maps, reported: pd.DataFrame) -> str:
    """How many components reach nine tenths of the variance, of how many there can be, and what is reported.

    Args:
        maps: of the run.
        reported: `data/reported/components.csv`.
    """
    most, titles = len(maps.rows) - 1, [maps.lab.title(name) for name in maps.lab.networks]
    reached = [
        f"{maps[name].components.reaching(SHARE)} of at most {min(most, maps[name].features.shape[1])} for {title}"
        for name, title in zip(maps.lab.networks, titles, strict=True)
    ]
    same = [title for title in titles if title in set(reported["network"])]
    end = (
        f"The reported numbers of {', '.join(same)} are of the same features on the original's sample of MAMe, so they "
        "can be compared where this run is of MAMe."
        if same
        else "The reported numbers are of networks that are not in this run, so they are beside, not against, these."
    )
    return f"Components that reach {SHARE} of the variance ({most + 1:,} images): {'; '.join(reached)}. {end}"


def curve_words(maps: Maps) -> str:
    """What the curves of explained variance show, in words."""
    components = {maps.lab.title(name): maps[name].components for name in maps.lab.networks}
    return "; ".join(
        f"{title}: the first component explains {100 * part.cumulative[0]:.0f} %, {part.reaching(SHARE)} reach {SHARE}"
        for title, part in components.items()
    )


def flat_words(maps: Maps, space: SampledSpace) -> str:
    """How far each flat map keeps classes together, in words."""
    return "; ".join(
        f"{method}: {100 * _map_purity(maps, space, method, 2).mean():.0f} % of the nearest points are of its class"
        for method in ("pca", "umap", "supervised umap")
    )


def _map_purity(maps: Maps, space: SampledSpace, method: str, dims: int) -> np.ndarray:
    """Share of each image's nearest others on a map that are of its class, (n,)."""
    return cohesion(space.layout(method, dims), maps.labels, maps.settings.neighbours).purity


def neighbour_words(maps: Maps, shares: np.ndarray) -> str:
    """The strongest tie between two classes."""
    row, column = np.unravel_index(int(shares.argmax()), shares.shape)
    names = maps.lab.classes
    strength = f"{100 * shares[row, column]:.0f} %"
    return f"Strongest tie: {strength} of the foreign neighbours of {names[row]} are {names[column]}."


def cluster_words(maps: Maps, cluster: outliers.Cluster, place: int = 1) -> dict[str, str]:
    """Alt text and label of a cluster's sheet."""
    alt = f"{len(cluster.members)} images, {100 * cluster.share:.0f} % {maps.lab.classes[cluster.label]}."
    return {"alt": alt, "label": f"cluster-sheet-{place}" if place > 1 else "cluster-sheet"}


def suspect_titles(doubted: pd.DataFrame, most: int = 6) -> list[str]:
    """Label and suggestion of the most doubted images."""
    return [f"{row.label}, or {row.suggested}?" for row in doubted.head(most).itertuples()]


def suspects_words(maps: Maps, doubted: pd.DataFrame) -> str:
    """How many labels are doubted, and which pair of classes most often."""
    if (maps.counts >= 2).to_numpy().sum() < 2:
        return "No label can be checked: that takes two classes with two train images each."
    if not len(doubted):
        return f"No label of the {len(maps.rows):,} images is doubted."
    few = maps.counts.iloc[:, 0].median()
    pair, times = doubted.groupby(["label", "suggested"]).size().pipe(lambda counts: (counts.idxmax(), counts.max()))
    return (
        f"{len(doubted)} of {len(maps.rows):,} labels are doubted, most often {pair[0]} that looks like {pair[1]} "
        f"({times}). A doubted label is a picture to look at: confusable classes are doubted too, without being wrong"
        f"{f', and {few:.0f} images a class are few to learn from' if few < 10 else ''}."
    )


def duplicates_words(maps: Maps, pairs: pd.DataFrame) -> str:
    """How many near-duplicates there are across splits, and how many are known parts of one object."""
    bound = f"cosine of features of at least {maps.settings.duplicate}, each the other's nearest"
    if not len(pairs):
        return f"No val or test image has a near-duplicate in train ({bound})."
    same = int(pairs["same object"].sum())
    return (
        f"{len(pairs)} val or test images have a near-duplicate in train ({bound}); {same} of them are known parts of "
        "one object. Accuracy on these tells little about new objects."
    )


def lost_on_map(maps: Maps, space: SampledSpace) -> Estimate:
    """Neighbours of the same class in the space minus those on the 3-D UMAP, mean over images, in points."""
    gain = space.cohesion.purity - _map_purity(maps, space, "umap", 3)
    return mean_estimate(gain, "lost on the map", singleton_groups(maps.lots), scale=100, unit=" points", digits=1)


def decision(maps: Maps, space: SampledSpace) -> tuple[str, str, str]:
    """What the chapter hands on: what, because, instead of what."""
    low = ", ".join(space.cohesion.table(maps.lab.classes).index[-3:])
    trust = [projections.trustworthiness(space.features, space.layout(method, 3)) for method in ("pca", "umap")]
    return decision_words(lost_on_map(maps, space), trust, low)


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


def more_trustworthy(space: SampledSpace) -> str:
    """Which of two flat maps keeps neighbourhoods better: the answer of exercise 1."""
    return max(("pca", "umap"), key=lambda method: projections.trustworthiness(space.features, space.layout(method, 2)))


def purest(maps: Maps, space: SampledSpace, kept: int) -> str:
    """The class that keeps together best in the first components: the answer of exercise 2."""
    return str(cohesion(space.components.points[:, :kept], maps.labels).table(maps.lab.classes).index[0])


def division(maps: Maps, space: SampledSpace, name: str = "Woven fabric") -> dict[str, Any]:
    """Shares of a class that lie near materials only and near drawings only, and its rank by how divided it is."""
    if maps.lacking(name):
        return maps.lacking(name)
    division = divided(space.cohesion, maps.lab.classes.index(name), maps.lab.classes, maps.lots)
    if division is None:
        return {"parts": None}
    parts = {"materials": division.first, "drawings": division.second}
    return {"parts": parts, "rank": division.rank, "classes": division.classes}
