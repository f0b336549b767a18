"""Augmentation as one Keras layer: random rotation, shift, mirroring and cropping in a single resampling.

Three layers of Keras's (rotation, translation, flip) resample an image twice and take more than twice the time. What
the layer draws comes from a seed generator of its own, as in Keras's dropout: its state is part of the network's
variables, so a run that was killed goes on with the same draws.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from lab_utils.data.pipeline import DRAWS, Augment, cropped

if TYPE_CHECKING:
    import keras


def random_warp(
    rotation: float = 30.0,
    shift: float = 0.1,
    flip: bool = True,
    crop: float = 1.0,
    size: int | None = None,
    fill: Literal["nearest", "constant", "reflect", "wrap"] = "nearest",
    seed: int | None = None,
    name: str | None = None,
) -> "keras.layers.Layer":
    """A layer that turns, shifts and mirrors images in training, and leaves them as they are otherwise.

    Args:
        rotation: largest angle, in degrees either way.
        shift: largest shift, as share of height and width, either way.
        flip: mirror half of the images left to right.
        crop: side of a crop in a random place, as share of the image's; it is enlarged to the image's size. 1: none.
        size: side in pixels of a square that is cut out of each image at last: in training in a random place, else in
            the centre. None: none.
        fill: what comes in at the borders: `nearest` repeats the edge, `constant` is black, `reflect` mirrors.
        seed: of its draws; None: as `keras.utils.set_random_seed` left it.
        name: of the layer.

    Returns:
        From images (B, H, W, 3) of any range to float32 of the same range, (B, H, W, 3) or (B, size, size, 3). Of
        images of several shapes, each padded at its right and lower side, it also takes where they are,
        `layer(images, inside=mask)`, (B, H, W) of 1 and 0: each is turned about its own centre.
    """
    return warp_layer()(rotation, shift, flip, crop, size, fill, seed, name=name)


@cache
def warp_layer() -> type["keras.layers.Layer"]:
    """The class of `random_warp` (it exists only once Keras is imported, which takes seconds)."""
    import keras

    @keras.saving.register_keras_serializable("lab")
    class RandomWarp(keras.layers.Layer):
        def __init__(
            self, rotation=30.0, shift=0.1, flip=True, crop=1.0, size=None, fill="nearest", seed=None, **kwargs: Any
        ):
            super().__init__(**{"dtype": "float32", **kwargs})  # a card can't resample in half precision
            self.augment, self.size, self.seed = Augment(rotation, shift, flip, crop, fill), size, seed
            self.seed_generator = keras.random.SeedGenerator(seed)
            self.supports_jit = False  # XLA doesn't know the resampling

        def call(self, images: Any, inside: Any = None, training: bool = False) -> Any:
            if not training:
                return cropped(images, None, self.size, False) if self.size else images
            draws = keras.random.uniform((keras.ops.shape(images)[0], DRAWS), seed=self.seed_generator)
            if inside is None:
                moved = self.augment.apply(images, draws)
            else:
                sides = [keras.ops.sum(keras.ops.max(inside, axis=across), axis=1) for across in (2, 1)]
                moved = self.augment.apply(images, draws, keras.ops.stack(sides, axis=1)) * inside[..., None]
            return cropped(moved, draws, self.size, True) if self.size else moved

        def compute_output_shape(self, images_shape: tuple, inside_shape: tuple | None = None) -> tuple:
            shape = tuple(images_shape)
            return (shape[0], self.size, self.size, shape[3]) if self.size else shape

        def get_config(self) -> dict[str, Any]:
            settings = {name: getattr(self.augment, name) for name in ("rotation", "shift", "flip", "crop", "fill")}
            return {**super().get_config(), **settings, "size": self.size, "seed": self.seed}

    return RandomWarp
