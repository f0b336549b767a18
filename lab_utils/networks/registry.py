"""The registry of pretrained networks as plain data: one entry a network, and what depends on which one it is.

Freeze points are comparable: the five blocks of every network end at 1/2, 1/4, 1/8, 1/16, 1/32 of the input's size, so
"the first three of five blocks" of VGG16 has a counterpart in all others. `backbones` builds the networks.
"""

from dataclasses import dataclass
from functools import partial

from lab_utils.core.errors import LabError

RANGES = {  # lowest and highest value that images of 0..255 can get
    "caffe": (-123.68, 255 - 103.939),  # blue, green, red minus their means
    "torch": (-0.485 / 0.229, (1 - 0.406) / 0.225),  # divided by 255, minus mean, over standard deviation
    "raw": (0.0, 255.0),  # scaled inside the network
    "lite": (-127 / 128, 1.0),  # (RGB - 127) / 128
}


@dataclass(frozen=True)
class Backbone:
    """What the lab knows of one network.

    Attributes:
        name: in profiles and records.
        title: in tables and figures.
        source: `keras` (keras.applications), `lite` (pip package), `hub` (KerasHub, optional).
        builder: the source's own name of the network.
        weights_file: file (hub: folder) of the weights with the top; without it Keras's name ends in `_notop.h5`.
        mode: preprocessing, a key of `RANGES`.
        width: number of features of the penultimate layer.
        last_conv: the last feature map (class activation).
        freeze_points: output layer of block k, k = 1 .. 5 (1/2 .. 1/32 of the input's size).
        parameters: without top.
        embedding: pattern of the layers of the full-network embedding.
        feature_layer: the penultimate layer.
        size: native input in pixels.
        min_size: smallest input in pixels.
        fixed_size: with the top, only the native size fits.
    """

    name: str
    title: str
    source: str
    builder: str
    weights_file: str
    mode: str
    width: int
    last_conv: str
    freeze_points: tuple[str, ...]
    parameters: int
    embedding: str
    feature_layer: str = "avg_pool"
    size: int = 224
    min_size: int = 32
    fixed_size: bool = False

    @property
    def expected_range(self) -> tuple[float, float]:
        """Lowest and highest value that a preprocessed image may hold."""
        return RANGES[self.mode]

    def titled(self, weights: str) -> str:
        """Title for tables and figures; random weights are always said."""
        return self.title if weights == "imagenet" else f"{self.title} (random weights)"


_TF = "_weights_tf_dim_ordering_tf_kernels.h5"
_VGG_BLOCKS = tuple(f"block{k}_pool" for k in range(1, 6))
_EFFICIENT_LAYERS = r"stem_activation|\w+_(expand|project)_activation|\w+_project_bn|\w+_add|top_activation"
_LITE12_BLOCKS = ("block1a_project_bn", "block2c_add", "block3c_add", "block5d_add", "top_activation")

_vgg = partial(Backbone, freeze_points=_VGG_BLOCKS, embedding=r"block\d_conv\d|fc\d", width=4096, fixed_size=True)
_efficient = partial(
    Backbone, source="keras", mode="raw", width=1280, last_conv="top_activation", embedding=_EFFICIENT_LAYERS
)
_lite = partial(_efficient, source="lite", mode="lite")

_ENTRIES = (
    _vgg(
        name="vgg16",
        title="VGG16",
        source="keras",
        builder="VGG16",
        weights_file="vgg16" + _TF,
        mode="caffe",
        feature_layer="fc2",
        last_conv="block5_conv3",
        parameters=14_714_688,
    ),
    Backbone(
        name="resnet50",
        title="ResNet50",
        source="keras",
        builder="ResNet50",
        weights_file="resnet50" + _TF,
        mode="caffe",
        width=2048,
        last_conv="conv5_block3_out",
        freeze_points=("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"),
        parameters=23_587_712,
        embedding=r"conv1_relu|\w+_[12]_relu|\w+_out",
    ),
    Backbone(
        name="densenet121",
        title="DenseNet121",
        source="keras",
        builder="DenseNet121",
        weights_file="densenet121" + _TF,
        mode="torch",
        width=1024,
        last_conv="relu",
        freeze_points=("conv1_relu", "pool2_relu", "pool3_relu", "pool4_relu", "relu"),
        parameters=7_037_504,
        embedding=r"conv1_relu|\w+_1_relu|pool\d_relu|relu",
    ),
    _efficient(
        name="efficientnetb0",
        title="EfficientNetB0",
        builder="EfficientNetB0",
        weights_file="efficientnetb0.h5",
        freeze_points=("block1a_project_bn", "block2b_add", "block3b_add", "block5c_add", "top_activation"),
        parameters=4_049_571,
    ),
    _efficient(
        name="efficientnetb3",
        title="EfficientNetB3",
        builder="EfficientNetB3",
        weights_file="efficientnetb3.h5",
        size=300,
        width=1536,
        freeze_points=("block1b_add", "block2c_add", "block3c_add", "block5e_add", "top_activation"),
        parameters=10_783_535,
    ),
    _efficient(
        name="efficientnetv2b0",
        title="EfficientNetV2B0",
        builder="EfficientNetV2B0",
        weights_file="efficientnetv2-b0.h5",
        freeze_points=("block1a_project_activation", "block2b_add", "block3b_add", "block5e_add", "top_activation"),
        parameters=5_919_312,
    ),
    _vgg(
        name="vgg11",
        title="VGG11",
        source="hub",
        builder="vgg_11_imagenet",
        weights_file="vgg_11_imagenet",
        mode="torch",
        feature_layer="pooler",
        last_conv="block5_conv2",
        parameters=9_220_480,
    ),
    Backbone(
        name="resnet18",
        title="ResNet18",
        source="hub",
        builder="resnet_18_imagenet",
        weights_file="resnet_18_imagenet",
        mode="torch",
        width=512,
        feature_layer="pooler",
        last_conv="stack3_block1_out",
        freeze_points=("conv1_relu", *(f"stack{k}_block1_out" for k in range(4))),
        parameters=11_186_112,
        embedding=r"conv1_relu|\w+_1_relu|\w+_out",
    ),
    _lite(
        name="lite0",
        title="EfficientNet-Lite0",
        builder="lite0",
        weights_file="efficientnet-lite0-57934424.pth",
        freeze_points=("block1a_project_bn", "block2b_add", "block3b_add", "block5c_add", "top_activation"),
        parameters=3_413_024,
    ),
    _lite(
        name="lite1",
        title="EfficientNet-Lite1",
        builder="lite1",
        weights_file="efficientnet-lite1-77cc7160.pth",
        size=240,
        freeze_points=_LITE12_BLOCKS,
        parameters=4_189_344,
    ),
    _lite(
        name="lite2",
        title="EfficientNet-Lite2",
        builder="lite2",
        weights_file="efficientnet-lite2-9656183e.pth",
        size=260,
        freeze_points=_LITE12_BLOCKS,
        parameters=4_869_168,
    ),
)
REGISTRY = {entry.name: entry for entry in _ENTRIES}


def backbone(name: str) -> Backbone:
    """Find a network in the registry.

    Raises:
        LabError: there is none of that name; the sentence lists the names.
    """
    if name not in REGISTRY:
        raise LabError(f"There is no network {name!r}; the networks are {', '.join(REGISTRY)}.")
    return REGISTRY[name]
