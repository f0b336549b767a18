"""What a fine-tuning run takes from the profile, under the names of `keras.applications`: `here` in the notebooks.

here = lab.here("run 1")
network = here.application(include_top=False, input_tensor=here.preprocess_input(pixels))
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lab_utils.networks import backbones, registry

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FineTuningSetup:
    """Settings of one run in a profile, and the network that it starts from.

    Attributes:
        name: of the run (`run 1`).
        network: its name in the registry.
        weights: `imagenet` or `random`.
        size: side of the square input in pixels.
        frozen: how many of the network's five blocks keep their weights.
        pooling: how the last feature map becomes a vector.
        learning_rate: of Adam.
        batch: images a step.
        epochs: passes over the train images.
        seed: of first weights and of the order of images.
    """

    name: str
    network: str
    weights: str
    size: int
    frozen: int
    pooling: Literal["flatten", "average"]
    learning_rate: float
    batch: int
    epochs: int
    seed: int = 0

    @property
    def title(self) -> str:
        """Title of the network; random weights are said."""
        return registry.backbone(self.network).titled(self.weights)

    def application(self, include_top: bool = False, input_tensor: Any = None) -> "keras.Model":
        """The network with its pretrained weights, as a function of `keras.applications` gives it.

        Batch normalisation is frozen, so it keeps its pretrained mean and variance in training, too.

        Args:
            include_top: end in the 1,000 classes of ImageNet; else in the last feature map.
            input_tensor: preprocessed images, (B, H, W, 3); None: an input of `size` pixels.

        Raises:
            LabError: the weights are missing or damaged.
        """
        import keras

        model = backbones.build(
            self.network, weights=self.weights, size=self.size, top=include_top, input_tensor=input_tensor
        )
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        return model

    def preprocess_input(self, pixels: Any) -> Any:
        """RGB pixels of 0..255 as the network's weights expect them."""
        return backbones.preprocess(self.network, pixels)

    def pool(self) -> "keras.layers.Layer":
        """The layer between the last feature map and the head: Flatten as in the original, or the average over places.

        Small profiles average: a flattened map would be many times as wide as there are images.
        """
        import keras

        kind = keras.layers.Flatten if self.pooling == "flatten" else keras.layers.GlobalAveragePooling2D
        return kind(name="pooled")
