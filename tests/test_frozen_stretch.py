import numpy as np
import pytest
from test_fit import equal_runs, run, two_data, two_inputs
from toy_networks import CLASSES, compiled, perceptron, pictures, tuned

from lab_utils.networks.random_warp import random_warp
from lab_utils.training import feeding, frozen_front, frozen_stretch, model_graph, trainee
from lab_utils.training.feeding import Split


def cut_of(model):
    """Names of the last layer before the cut and of the first ones behind it, and the cut."""
    graph = model_graph.read(model)
    cut = frozen_stretch.find(graph)
    if cut is None:
        return None, None, None
    behind = [call.op.name for number, call in enumerate(graph.calls) if cut.tensor in call.reads]
    return graph.calls[cut.tensor.call].op.name, behind, cut


def freeze(model, *names):
    for name in names:
        model.get_layer("base").get_layer(name).trainable = False
    return compiled(model)


# ---- where it ends ---------------------------------------------------------------------------------------------------
def test_everything_before_the_first_trained_layer_is_the_front_inside_nested_networks_too():
    whole, behind, cut = cut_of(tuned())
    assert whole.startswith("flatten") and behind == ["logits"] and cut.has_weights and not cut.is_random
    assert cut_of(perceptron()) == (None, None, None)
    last, behind, _ = cut_of(freeze(tuned(trainable=True), "conv1", "norm1"))
    assert last == "norm1" and set(behind) == {"conv2", "sum"}  # the way around conv2 begins behind the cut


def test_a_way_around_moves_the_cut_before_it():
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3))
    first = keras.layers.Conv2D(4, 3, trainable=False, name="first")(pixels)
    second = keras.layers.Conv2D(4, 3, padding="same", trainable=False, name="second")(first)
    third = keras.layers.Conv2D(4, 3, padding="same", name="third")(second)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([first, third]))
    assert cut_of(compiled(keras.Model(pixels, keras.layers.Dense(CLASSES)(x))))[0] == "first"


def test_dropout_behind_a_frozen_base_stays_behind_the_cut_and_inside_it_is_off():
    last, behind, cut = cut_of(tuned(head_dropout=0.5))
    assert last.startswith("flatten") and behind[0].startswith("dropout") and not cut.is_random
    active = tuned()
    active.get_layer("base").get_layer("drop").trainable = True  # not frozen: it draws, in a frozen base too
    assert cut_of(compiled(active))[0] == "norm1"


def test_augmentation_at_the_beginning_makes_the_front_random():
    _, behind, cut = cut_of(tuned(before=[random_warp()]))
    assert behind == ["logits"] and cut.is_random and cut.has_weights


def test_layers_that_may_draw_by_code_of_their_own_count_as_random_and_others_do_not():
    import keras

    class Noisy(keras.layers.Layer):
        def call(self, x):
            import tensorflow as tf

            return x + tf.random.normal(tf.shape(x))

    class Halved(keras.layers.Layer):
        def call(self, x):
            return x / 2

    assert cut_of(tuned(before=[Noisy()]))[2].is_random
    assert not cut_of(tuned(before=[Halved()]))[2].is_random
    assert cut_of(tuned(before=[keras.layers.Lambda(lambda x: keras.random.uniform((1,)) + x)]))[2].is_random


def test_inputs_that_are_read_behind_the_cut_are_led_around_it():
    _, behind, cut = cut_of(two_inputs())
    assert (
        behind[0].startswith("concatenate") and cut.around == [0] and cut.reads == [1]
    )  # `more` comes before `pixels`


def test_a_normalisation_that_training_moves_is_no_part_of_the_front():
    moving = tuned()
    moving.get_layer("base").get_layer("norm1").trainable = True
    assert cut_of(compiled(moving))[0] == "conv1"


@pytest.mark.parametrize(("name", "last"), [("VGG16", "block3_pool"), ("EfficientNetB0", "block2b_add")])
def test_the_front_of_networks_of_keras_ends_where_their_frozen_layers_end(name, last):
    import keras

    model = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(32, 32, 3))
    frozen = True
    for layer in model.layers:
        layer.trainable = not frozen
        frozen = frozen and layer.name != last
    x = keras.layers.GlobalAveragePooling2D()(model.output)
    assert cut_of(compiled(keras.Model(model.input, keras.layers.Dense(CLASSES)(x))))[0] == last


# ---- what comes of it ------------------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def nothing_kept_in_this_process():
    """What other tests have opened doesn't count."""
    trainee._opened.clear()


NETWORKS = {
    "nested": lambda: tuned(),
    "partly frozen": lambda: freeze(tuned(trainable=True), "conv1", "norm1", "drop"),
    "without normalisation": lambda: tuned(norm=False),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_on_kept_activations_gives_the_bits_of_training_through_the_front(tmp_path, kind):
    lines = []
    kept = run(tmp_path / "kept", NETWORKS[kind](), pictures, progress=lines.append)
    through = run(tmp_path / "through", NETWORKS[kind](), pictures, limit=1.0)
    assert equal_runs(kept, through)
    assert any("activations of the frozen front of toy: 40 images" in line for line in lines)
    assert len(list(tmp_path.glob("kept/front/*.npy"))) == 2 and not list(tmp_path.glob("through/front/*.npy"))


@pytest.mark.parametrize("kind", NETWORKS)
def test_training_behind_the_front_does_what_keras_does_with_the_whole_network(tmp_path, kind):
    theirs, data = NETWORKS[kind](), pictures(16, 0)
    for layer in model_graph.read(theirs).layers:  # plain Keras would leave frozen dropout on
        if type(layer).__name__ == "Dropout":
            layer.rate = 0.0
    trained = run(tmp_path, NETWORKS[kind](), pictures, n=16, batch=16, epochs=2)
    for epoch in range(2):
        order = np.random.default_rng([1, epoch]).permutation(16)
        expected = theirs.train_on_batch(data.inputs[order].astype(np.float32), data.labels[order])
        assert trained.history["loss"][epoch] == pytest.approx(float(expected), rel=1e-4)
    answers = theirs(data.inputs.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(trained.logits("train", "last"), answers, atol=1e-4)


def test_two_heads_on_one_frozen_base_share_what_is_kept(tmp_path, monkeypatch):
    trainee._opened.clear()
    run(tmp_path, tuned(), pictures)
    files = sorted(tmp_path.glob("front/*.npy"))
    monkeypatch.setattr(frozen_front, "write_rows", None)  # nothing is computed a second time
    trainee._opened.clear()
    run(tmp_path, tuned(head_dropout=0.5, rate=0.5), pictures)
    assert sorted(tmp_path.glob("front/*.npy")) == files and len(files) == 2


def test_another_weight_of_the_frozen_base_is_computed_anew(tmp_path):
    trainee._opened.clear()
    run(tmp_path, tuned(), pictures)
    run(tmp_path, tuned(seed=1), pictures)
    assert len(list(tmp_path.glob("front/*.npy"))) == 4


def test_altered_kept_activations_are_computed_again(tmp_path):
    trainee._opened.clear()
    first = run(tmp_path, tuned(), pictures)
    for path in tmp_path.glob("front/*.npy"):
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(bytes(content))
    trainee._opened.clear()
    lines = []
    again = run(tmp_path, tuned(), pictures, epochs=2, progress=lines.append)
    assert sum("is damaged" in line for line in lines) >= 2  # train and val
    assert again.history["loss"].equals(first.history["loss"][:2])


def test_augmented_images_go_through_the_front_in_every_step_and_val_images_are_kept(tmp_path):
    trainee._opened.clear()

    def network(rotation):
        return tuned(before=[random_warp(rotation, seed=1)])

    found = run(tmp_path, network(30), pictures)
    assert len(list(tmp_path.glob("front/*.npy"))) == 2  # of val, and of as many clean train images
    still = run(tmp_path, tuned(before=[random_warp(0, 0, flip=False, seed=1)]), pictures)
    plain = run(tmp_path, tuned(), pictures)
    np.testing.assert_allclose(still.history["loss"], plain.history["loss"], rtol=1e-4)
    assert abs(found.history["loss"] - plain.history["loss"]).max() > 1e-3


def test_half_precision_computes_layers_with_weights_and_leaves_images_and_logits_in_float32(tmp_path):
    half, full = run(tmp_path, tuned(), pictures, precision="mixed_bfloat16"), run(tmp_path, tuned(), pictures)
    twin = half._trainee.twin
    policies = {layer.name: layer.compute_dtype for layer in twin._layers}
    assert policies["conv1"] == "bfloat16" and policies["logits"] == "float32"
    assert {str(weight.dtype) for weight in half.weights()} == {"float32", "int64"}  # int64: random state
    assert half.model.get_layer("base").get_layer("conv1").compute_dtype == "float32"  # as it was given
    difference = np.abs(half.history["loss"] - full.history["loss"])
    assert 0 < difference.max() < 0.05


def test_padded_batches_keep_their_padding_and_what_the_front_gives_of_val_is_kept_in_memory(tmp_path):
    import keras

    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (int(h), int(w), 3), dtype=np.uint8) for h, w in rng.integers(4, 9, (30, 2))]
    labels = np.arange(30) % CLASSES

    class Padded:
        taken = 0

        def batch_of(self, rows):
            Padded.taken += 1
            height, width = (max(images[row].shape[side] for row in rows) for side in (0, 1))
            batch, mask = np.zeros((len(rows), height, width, 3), np.uint8), np.zeros((len(rows), height, width, 1))
            for i, row in enumerate(rows):
                h, w, _ = images[row].shape
                batch[i, :h, :w], mask[i, :h, :w] = images[row], 1
            return [batch, mask.astype(np.float32)]

    def network():
        keras.utils.set_random_seed(0)
        pixels, mask = keras.Input((None, None, 3)), keras.Input((None, None, 1))
        x = keras.layers.Conv2D(4, 3, padding="same", trainable=False)(pixels / 255.0)
        x = keras.ops.sum(x * mask, axis=(1, 2)) / keras.ops.sum(mask, axis=(1, 2))
        return compiled(keras.Model([pixels, mask], keras.layers.Dense(CLASSES)(x)))

    def fitted(folder, model):
        from lab_utils.training.fit import fit

        train = Split(Padded(), labels[:20], np.arange(20), "padded images")
        val = Split(Padded(), labels[20:], np.arange(20, 30), "padded images")
        return fit(model, train, val, epochs=3, batch=4, folder=folder, progress=lambda line: None)

    trained, before = fitted(tmp_path / "a", network()), Padded.taken
    assert before < 3 * 5 + 2 * 3 + 10  # train is read in each epoch, val and clean train once
    assert fitted(tmp_path / "a", network()).loaded and equal_runs(trained, fitted(tmp_path / "b", network()))
    assert trained.logits("val").shape == (10, CLASSES)


def test_what_does_not_fit_the_device_is_read_from_memory_map(tmp_path, monkeypatch):
    kept = run(tmp_path / "a", tuned(), pictures)
    monkeypatch.setattr(feeding, "SHARE", 0.0)
    feeding._held.clear()
    assert equal_runs(kept, run(tmp_path / "b", tuned(), pictures))
    assert equal_runs(run(tmp_path / "a", two_inputs(), two_data), run(tmp_path / "b", two_inputs(), two_data))
