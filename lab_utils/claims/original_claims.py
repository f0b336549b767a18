"""What the original claims: every sentence that can be tested, in our words, with its slide and the test that decides.

Figures in a wording are the original's. `claims.py` holds the deciding functions; a claim without one (its chapter
was not run, say) is listed in the ledger as not testable, with the reason.
"""

from typing import NamedTuple


class Claim(NamedTuple):
    """One testable sentence of the original.

    Attributes:
        id: short unique name.
        slide: number of the slide in the original.
        chapter: notebook that decides it (two digits).
        wording: what the original says, in our words.
        test: how it is decided.
        arithmetic: decided from printed numbers alone, so on any data.
        network: whose features the original looked at, by its name in the registry; "" for no one in particular.
    """

    id: str
    slide: int
    chapter: str
    wording: str
    test: str
    arithmetic: bool = False
    network: str = ""


_BASELINE = (
    Claim(
        "overfitting-labels-consistent",
        3,
        "14",
        "The networks from scratch are labelled High, Medium or Low by how much they overfit.",
        "order of the printed gaps (train minus val) against the printed labels",
        arithmetic=True,
    ),
    Claim(
        "rows-are-single-networks",
        3,
        "14",
        "Each row of the baseline table is the result of one design (3-4 and 5-6 joined).",
        "the row's train and val against both networks of the earlier presentation",
        arithmetic=True,
    ),
    Claim(
        "scratch-overfits",
        3,
        "01",
        "The first networks from scratch overfit strongly.",
        "gap of clean train and val accuracy of #1 and #2, with interval",
    ),
    Claim(
        "regularisation-lowers-gap",
        3,
        "01",
        "Regularisation (#8, #10) lowers overfitting.",
        "gaps of #8 and of #10 against the gap of #6, bootstrap intervals of the differences",
    ),
    Claim(
        "too-much-regularisation",
        3,
        "01",
        "Network #9 failed because it was regularised too much.",
        "ablation: #8 with #9's penalties against #8 with #9's dropout, before and after BatchNorm",
    ),
    Claim(
        "printed-9-regularised-too-much",
        3,
        "14",
        "The printed accuracies of #9 show too much regularisation (earlier presentation).",
        "printed gap of train and val of #9 against that of #10: more regularisation must narrow it",
        arithmetic=True,
    ),
    Claim(
        "augmentation-low-overfitting",
        3,
        "01",
        "The augmented networks (#11, #12) overfit least.",
        "gap of clean train and val accuracy of #11 and #12 against the mean gap of the networks without augmentation",
    ),
    Claim(
        "ensemble-best-scratch",
        3,
        "01",
        "The average of the regularised and the augmented network (#13) is the best from scratch.",
        "paired difference on test of #13 and the single network that is best on val",
    ),
    Claim(
        "scratch-focus-on-background",
        3,
        "01",
        "The networks from scratch look at the background.",
        "share of relevance in the outer tenth of the image against its share of the area",
    ),
    Claim(
        "most-confused-classes",
        3,
        "01",
        "From scratch, Engraving with Etching and Woven fabric with Silk and metal thread are confused most.",
        "rank of the two pairs among all confusions, bootstrapped over the val images",
    ),
    Claim(
        "variable-shape-helps",
        4,
        "14",
        "The table sets variable against fixed shape as if it mattered at this pixel count.",
        "printed differences of the seven architectures, with the interval of two accuracies on the test images",
        arithmetic=True,
    ),
    Claim(
        "b3-best-of-paper",
        4,
        "02",
        "EfficientNet-B3 is the best of the seven fine-tuned architectures.",
        "our runs of the table: paired difference of B3 and the other architecture that is best on val",
    ),
)

_SIMILARITY = (
    Claim(
        "smarter-focused",
        6,
        "13",
        "Pretrained features activate in a smarter and more focused way than those of the network from scratch.",
        "focus score on mosaics, pretrained against scratch, paired bootstrap interval",
    ),
    Claim(
        "focuses-on-content",
        6,
        "03",
        "The task is similar to ImageNet's: the pretrained network looks at the content.",
        "share of relevance away from the border, and the probe against its controls (museum and lot as targets)",
    ),
    Claim(
        "task-similarity-64",
        18,
        "03",
        "About 64 % of the two tasks overlap, by the task similarity measure (also slide 24).",
        "probe on the 1,000 outputs, which measures no overlap if random weights are above chance, too",
    ),
    Claim(
        "imagenet-overlap",
        24,
        "03",
        "There is overlap between ImageNet classification and MAMe.",
        "probe on pretrained outputs against the probe on a network with random weights",
    ),
)

_PROJECTIONS = (
    Claim(
        "three-groups-separable",
        9,
        "04",
        "Three groups (metals; glass, porcelain and kin; drawings and prints) are linearly separable.",
        "linear separation in feature space and in three principal components, permutation test",
        network="vgg16",
    ),
    Claim(
        "hand-colored-engraving-connects",
        10,
        "04",
        "Hand-colored engraving connects the two big groups, between Albumen photograph and Woven fabric.",
        "neighbours of the class in feature space, rank of the two classes",
        network="resnet50",
    ),
    Claim(
        "albumen-perfectly-clustered",
        10,
        "04",
        "Albumen photograph is perfectly clustered.",
        "nearest-neighbour purity and silhouette, rank among the classes, with and without its big lot",
        network="resnet50",
    ),
    Claim(
        "woven-fabric-divided",
        10,
        "04",
        "Woven fabric is divided between both big groups, materials and drawings.",
        "share of its images that have neighbours in one group only, for both groups; rank among the classes",
        network="resnet50",
    ),
    Claim(
        "outliers-own-category",
        11,
        "04",
        "A small far-off cluster of look-alike objects should perhaps be a category of its own.",
        "density clusters far from their class: one object type or one lot",
        network="resnet50",
    ),
    Claim(
        "woven-two-neighbourhoods",
        14,
        "04",
        "One part of Woven fabric lies near Hand-colored engraving and Porcelain, one near Silk and metal thread.",
        "two clusters within the class and the nearest classes of each",
        network="efficientnetb0",
    ),
    Claim(
        "features-show-outliers",
        24,
        "04",
        "Feature extraction gives a better understanding of distribution and outliers.",
        "share of the flagged images that are from one lot, near-duplicates or mislabelled",
    ),
    Claim(
        "printed-sample-of-100",
        7,
        "14",
        "The maps show approximately 100 images of each class.",
        "smallest and largest class of the histogram against a random draw of 100 a class",
        arithmetic=True,
    ),
)

_CLASSIFICATION = (
    Claim(
        "printed-vgg16-parameters",
        16,
        "14",
        "VGG16 as an extractor has the printed number of parameters.",
        "layer sizes recomputed",
        arithmetic=True,
    ),
    Claim(
        "slide-17-follows-figure",
        17,
        "14",
        "The table prints the test scores of the figure.",
        "table against the notebook behind it",
        arithmetic=True,
    ),
    Claim(
        "printed-cv-scores-hold",
        17,
        "14",
        "The cross-validated scores in the plots tell how good the classifiers are.",
        "cross-validated scores against the val and test accuracy beside them, interval of two accuracies",
        arithmetic=True,
    ),
    Claim(
        "printed-folds-agree",
        17,
        "14",
        "The five folds of the cross-validation are draws of one population.",
        "printed scores by fold: each fold against the others, interval of two accuracies",
        arithmetic=True,
    ),
    Claim(
        "voting-best",
        17,
        "05",
        "The voting classifier is the best of the classifiers (also slide 20).",
        "paired difference on val to the best single classifier, which cross-validation names",
    ),
    Claim(
        "b0-worse",
        18,
        "05",
        "EfficientNetB0 performs worse than the other extractors.",
        "paired difference to the mean of the others, beyond what UMAP and split seeds do to such a gap",
    ),
    Claim(
        "printed-b0-worse",
        18,
        "14",
        "The printed scores show that EfficientNetB0 performs worse than the rest.",
        "printed differences against the interval at the printed n, on both slides",
        arithmetic=True,
    ),
    Claim(
        "linear-svm-underfits",
        18,
        "05",
        "The linear SVM underfits.",
        "error on train against what new images add to it, and the best other classifier on train",
    ),
    Claim(
        "difficult-to-separate",
        18,
        "05",
        "The classes are difficult to learn and separate with these features.",
        "full features against the eight dimensions, same classifier, paired interval",
    ),
    Claim(
        "external-features-ignored",
        19,
        "05",
        "External features (sizes, museum) are ignored by the models.",
        "external features alone, shuffled on val, and removed before the fit; mean over the original's classifiers",
    ),
    Claim(
        "printed-importances-ignore",
        19,
        "14",
        "The printed importances show that external features are ignored.",
        "printed importance of the museum columns against zero, and against an even share of all columns",
        arithmetic=True,
    ),
    Claim(
        "dense-classifier-equal",
        20,
        "05",
        "The outputs of the pretrained dense classifier do as well as the features before it.",
        "paired difference of outputs and penultimate features, whole interval within five points",
    ),
    Claim(
        "extractors-differ",
        20,
        "05",
        "Slides 17 to 20 compare four extractors.",
        "feature arrays must differ; the spread over extractors against the spread over seeds of one",
    ),
    Claim(
        "features-not-classifier",
        24,
        "05",
        "It is not about the classifier but about the features.",
        "variance of accuracy, noise taken out, networks against classifiers; the reduction as a factor of its own",
    ),
)

_FINE_TUNED_FEATURES = (
    Claim(
        "clearer-separability",
        21,
        "12",
        "Fine-tuned features separate the classes much more clearly.",
        "separability of val and test images (not of train), against the pretrained features",
    ),
    Claim(
        "silk-not-solved",
        21,
        "12",
        "The problems with Silk and metal thread are not solved by fine-tuning.",
        "recall of the class and of Woven fabric, paired on their test images, before and after",
    ),
    Claim(
        "slide-22-best-follows-figure",
        22,
        "14",
        "The best model of the table is the best one of the figure.",
        "best model of the table against the highest bar of the figure",
        arithmetic=True,
    ),
    Claim(
        "printed-fine-tuned-features-help",
        22,
        "14",
        "By the printed scores fine-tuned features are better than pretrained ones, for both networks.",
        "printed scores of slide 22 against those of slide 17, interval of two accuracies",
        arithmetic=True,
    ),
    Claim(
        "linear-svm-hero",
        23,
        "12",
        "On fine-tuned features the linear SVM goes from zero to hero.",
        "paired difference to the other classifiers on full features, before and after",
    ),
    Claim(
        "fine-tuned-features-help",
        24,
        "12",
        "Fine-tuned features add task-specific information to the pretrained ones.",
        "paired difference of the same classifier on both",
    ),
    Claim(
        "final-result-by-features",
        24,
        "12",
        "The route through fine-tuned features gives the final result, better than the network's own head.",
        "paired difference of that route and the network's own head on test, classifier chosen on val",
    ),
    Claim(
        "printed-features-beat-head",
        24,
        "14",
        "The printed result of the features' route (77 %) stands as the final result beside the network's own head.",
        "printed accuracy against the accuracy that follows from the report's rows",
        arithmetic=True,
    ),
)

_FINE_TUNING = (
    Claim(
        "freeze-first-blocks",
        26,
        "06",
        "The rule of thumb holds: keep the first three blocks, train the task-specific ones.",
        "val accuracy against another freeze point, paired",
    ),
    Claim(
        "rescaled-inputs-suffice",
        26,
        "06",
        "Inputs divided by 255 serve the pretrained weights.",
        "the same run with the preprocessing that the weights were trained with, paired difference on val",
    ),
    Claim(
        "lower-rate-improves",
        27,
        "07",
        "A lower learning rate and a narrower head improve on run 1.",
        "paired difference of runs 2 and 1 on val",
    ),
    Claim(
        "narrower-head-regularises",
        27,
        "07",
        "Shrinking the last dense layer to 256 neurons regularises the network.",
        "gap of train and val with the width alone changed",
    ),
    Claim(
        "val-loss-not-decreasing",
        27,
        "07",
        "In run 2 the validation loss is still not decreasing.",
        "slope of val cross-entropy over the last half of the epochs, with interval",
    ),
    Claim(
        "l2-helps-loss",
        28,
        "08",
        "L2 and dropout improve the loss while accuracy stays about the same.",
        "val cross-entropy (without penalty) of runs 3 and 2, and paired difference of accuracy",
    ),
    Claim(
        "wider-head-worse",
        28,
        "08",
        "More neurons in the dense layers perform significantly worse.",
        "ablation with a wider head, paired difference on val",
    ),
    Claim(
        "printed-l2-fits-curves",
        28,
        "14",
        "The printed L2 of runs 3 to 6 is that of the plotted losses.",
        "L2 of the first dense layer before training (factor times squared weights) against the start of the curve",
        arithmetic=True,
    ),
    Claim(
        "run4-too-hard-training",
        29,
        "09",
        "In run 4 validation accuracy is always above train: training is too hard.",
        "share of epochs with val above the counted train accuracy; train evaluated cleanly against val",
    ),
    Claim(
        "run5-too-hard-at-first",
        30,
        "10",
        "In run 5 training is still too hard at the beginning.",
        "the same as for run 4, over the first half of the epochs",
    ),
    Claim(
        "printed-lower-rate-improves",
        29,
        "14",
        "Reducing the learning rate further (run 4) was a nice improvement in the learning process.",
        "end of the plotted val curve of run 4 against that of run 3, interval of two accuracies",
        arithmetic=True,
    ),
    Claim(
        "run5-loss-still-falling",
        30,
        "10",
        "In run 5 the loss is still falling, so longer training should improve it.",
        "slope of val cross-entropy at the end, with interval",
    ),
    Claim(
        "run5-could-be-regularised",
        30,
        "10",
        "Run 5 ends with room for more regularisation.",
        "gap of clean train and val accuracy at the end, with interval",
    ),
    Claim(
        "loss-rises-accuracy-rises",
        31,
        "11",
        "In run 6 the loss starts to rise while accuracy still improves.",
        "slopes of val cross-entropy and accuracy after the loss's minimum",
    ),
    Claim(
        "loss-rises-less-sure",
        31,
        "11",
        "The loss rises because the network is less sure of its right answers.",
        "rise of the loss since its lowest epoch, split into right and wrong answers, bootstrap over lots",
    ),
    Claim(
        "accuracy-against-confidence",
        31,
        "11",
        "Higher accuracy has to be traded against confidence.",
        "epoch of highest accuracy against epoch of lowest loss: NLL of both after a temperature, paired",
    ),
    Claim(
        "run6-best",
        31,
        "11",
        "Run 6 is the final, best result.",
        "paired difference of run 6 and the best of the others",
    ),
    Claim(
        "steady-improvement",
        31,
        "11",
        "From run 1 to run 6 accuracy rises steadily (in the original from 74 to 78 %).",
        "paired difference of runs 6 and 1, and of neighbours: no clear fall on the way",
    ),
    Claim(
        "printed-runs-differ",
        31,
        "14",
        "The printed accuracies of the runs show steady progress.",
        "values at the end of the plotted curves against the interval of two accuracies on val",
        arithmetic=True,
    ),
    Claim(
        "printed-accuracies-follow-curves",
        31,
        "14",
        "The printed accuracies are those of the curves beside them.",
        "printed value against the end of the plotted curve",
        arithmetic=True,
    ),
    Claim(
        "below-papers-vgg16",
        31,
        "14",
        "The last run is a good result for VGG16.",
        "accuracy from the report's rows against the paper's VGG16, interval of two accuracies",
        arithmetic=True,
    ),
)

_RESULTS = (
    Claim(
        "report-accuracy-follows",
        33,
        "14",
        "The accuracy of the classification report is 0.79.",
        "support-weighted recall of the report's own rows",
        arithmetic=True,
    ),
    Claim(
        "report-macro-follows",
        33,
        "14",
        "The macro averages of the report are those of its rows.",
        "mean of the rows, rounded",
        arithmetic=True,
    ),
    Claim(
        "report-weighted-follows",
        33,
        "14",
        "The weighted averages of the report are those of its rows.",
        "support-weighted mean of the rows, rounded",
        arithmetic=True,
    ),
    Claim(
        "diagonal-agrees-with-accuracy",
        32,
        "14",
        "The confusion matrix and the report's accuracy are of one evaluation.",
        "diagonal over the number of test images against the printed accuracy",
        arithmetic=True,
    ),
    Claim(
        "val-carries-over",
        31,
        "14",
        "The val accuracy of the last run carries over to test.",
        "printed val accuracy against the balanced accuracy of the report's rows (val is balanced, test is not)",
        arithmetic=True,
    ),
    Claim(
        "val-predicts-test",
        32,
        "14",
        "On this data, too, val accuracy carries over to test.",
        "headline run: val accuracy against balanced test accuracy, interval of the difference",
    ),
    Claim(
        "hard-pairs-recur",
        32,
        "14",
        "The printed pairs (woven fabric and silk, oil and polychromed wood, engraving and etching) are confused most.",
        "the pairs among the ten largest confusions of the headline run",
    ),
    Claim(
        "low-precision-is-difficulty",
        33,
        "14",
        "The precision of Silk and metal thread (.24) shows that the class is badly recognised.",
        "precision at equal priors beside the plain one, and its rank among the classes",
    ),
    Claim(
        "unseen-lots-as-good",
        33,
        "14",
        "Test accuracy measures what the network knows of the mediums.",
        "accuracy on lots seen in train against lots that were not, at the same mix of classes, bootstrap over lots",
    ),
    Claim(
        "one-accuracy-for-all-museums",
        33,
        "14",
        "One accuracy stands for all museums.",
        "test accuracy by museum, interval of the largest difference",
    ),
)

_IMPROVEMENTS = (
    Claim(
        "improve-outliers",
        34,
        "15",
        "Information from the feature analysis on outliers and difficult classes improves the result.",
        "relabelled, weighted and filtered training, paired differences",
    ),
    Claim(
        "improve-more-networks",
        34,
        "15",
        "Fine-tuning more networks and taking their features improves the result.",
        "paired difference to the single network",
    ),
    Claim(
        "improve-ensembles",
        34,
        "15",
        "Ensembles of classifiers on different fine-tuned networks improve the result.",
        "paired difference of the ensemble and its best member",
    ),
    Claim(
        "improve-similar-pretraining",
        34,
        "15",
        "Networks pretrained on more similar images improve the result.",
        "needs weights pretrained on art, which can't be had by the lab's means",
    ),
)

ORIGINAL_CLAIMS: tuple[Claim, ...] = (
    *_BASELINE,
    *_SIMILARITY,
    *_PROJECTIONS,
    *_CLASSIFICATION,
    *_FINE_TUNED_FEATURES,
    *_FINE_TUNING,
    *_RESULTS,
    *_IMPROVEMENTS,
)
