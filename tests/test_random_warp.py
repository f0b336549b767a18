import numpy as np

from lab_utils.data.pipeline import DRAWS, Augment, cropped
from lab_utils.networks.random_warp import random_warp


def pictures(side=16):
    return np.random.default_rng(0).integers(0, 256, (5, side, side, 3)).astype(np.float32)


def test_the_layer_does_what_the_augmentation_does_with_the_draws_of_its_seed():
    import keras

    layer, images = random_warp(20, 0.2, crop=0.8, seed=3), pictures()
    draws = keras.random.uniform((5, DRAWS), seed=keras.random.SeedGenerator(3))
    expected = Augment(20, 0.2, crop=0.8).apply(images, draws)
    moved = layer(images, training=True).numpy()
    assert np.array_equal(moved, expected) and moved.min() >= 0 and moved.max() <= 255
    assert not np.array_equal(layer(images, training=True), moved)  # its state went on


def test_without_training_images_stay_as_they_are_and_are_cut_in_the_centre():
    images = pictures()
    assert np.array_equal(random_warp()(images), images)
    small = random_warp(size=10)
    assert np.array_equal(small(images), images[:, 3:13, 3:13]) and small(images, training=True).shape == (5, 10, 10, 3)


def test_a_square_is_cut_out_in_a_random_place_in_training():
    import keras

    images = pictures()
    draws = keras.random.uniform((5, DRAWS), seed=keras.random.SeedGenerator(1))
    moved = random_warp(0, 0, flip=False, size=10, seed=1)(images, training=True)
    np.testing.assert_allclose(moved, cropped(images, draws, 10, True), atol=0.05)


def test_its_configuration_and_state_bring_it_back():
    layer, images = random_warp(10, 0.3, False, 0.9, 12, "reflect", seed=2), pictures()
    first = layer(images, training=True)
    again = type(layer).from_config(layer.get_config())
    assert np.array_equal(again(images, training=True), first)
    again.seed_generator.state.assign(layer.seed_generator.state)
    assert np.array_equal(again(images, training=True), layer(images, training=True))


def test_a_half_precision_network_moves_its_images_in_float32():
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert random_warp()(pictures(), training=True).dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_padded_images_turn_about_their_own_centres_and_their_padding_stays_black():
    import keras

    bare, sides = pictures(24)[:2], [(12, 20), (24, 9)]
    padded, mask = np.zeros_like(bare), np.zeros(bare.shape[:3], np.float32)
    for place, (height, width) in enumerate(sides):
        padded[place, :height, :width], mask[place, :height, :width] = bare[place, :height, :width], 1
    moved = random_warp(30, 0.1, fill="constant", seed=4)(padded, inside=mask, training=True).numpy()
    draws = keras.random.uniform((2, DRAWS), seed=keras.random.SeedGenerator(4))
    for place, (height, width) in enumerate(sides):
        part = bare[place : place + 1, :height, :width]
        alone = Augment(30, 0.1, fill="constant").apply(part, draws[place : place + 1])[0]
        np.testing.assert_allclose(moved[place, :height, :width], alone, atol=0.05)
    assert (moved[mask == 0] == 0).all() and moved.any()
