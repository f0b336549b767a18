"""What makes a trained network another one: a key by content, free of names that Keras gives by itself.

In the key are the network's layers and how they are joined, their configurations (`trainable` too), its first weights
and random states, optimizer, loss and learning rate, and the code of every class and function that isn't of an
installed package. Names are never in it, nor are metrics, `jit_compile`, `steps_per_execution`: they change no weight.

Code is taken as Python compiled it, with the plain values and the functions that it refers to. So a class or a lambda
of a notebook's cell counts as well (its text can't always be found), a comment doesn't, and a constant beside it does.
"""

import builtins
import dataclasses
import json
import sys
import sysconfig
import types
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.core.records import content_hash, versions
from lab_utils.training.model_graph import Graph, Tensor, is_keras, layers_of

if TYPE_CHECKING:
    import keras

    from lab_utils.training.feeding import Split

CHANGES_NOTHING = ("metrics", "weighted_metrics", "jit_compile", "steps_per_execution", "run_eagerly")
RANDOM_WORDS = ("random", "dropout", "noise", "training", "seed", "shuffle")
NOT_CODE = (  # of a class; `__annotations__` come into being when somebody asks for them, TensorFlow's tracing too
    *("__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
)


# ---- code ------------------------------------------------------------------------------------------------------------
def code_of(thing: Any, seen: dict[int, str] | None = None) -> Any:
    """What a function, a class or a value does, as plain values.

    Args:
        thing: functions and classes of installed packages count by their names; other objects by their class.
        seen: what was met already (code may refer to itself).
    """
    seen = {} if seen is None else seen
    for wrapper in ("__func__", "func", "python_function", "__wrapped__"):  # static methods, partials, tf.function
        if not isinstance(thing, (types.FunctionType, types.MethodType, type)) and hasattr(thing, wrapper):
            rest = (getattr(thing, "args", ()), getattr(thing, "keywords", {}))
            return [code_of(getattr(thing, wrapper), seen), code_of(rest, seen)]
    if isinstance(thing, np.ndarray):
        return [str(thing.dtype), thing.shape, content_hash(np.ascontiguousarray(thing).tobytes())]
    if isinstance(thing, (list, tuple)):
        return [code_of(item, seen) for item in thing]
    if isinstance(thing, dict):
        return {str(key): code_of(item, seen) for key, item in thing.items()}
    if isinstance(thing, (set, frozenset)):
        return sorted(str(code_of(item, seen)) for item in thing)
    if isinstance(thing, types.CodeType):
        return _compiled(thing, seen)
    if not isinstance(thing, (type, types.FunctionType, types.MethodType, property)):
        if dataclasses.is_dataclass(thing) or hasattr(thing, "model_dump") or isinstance(thing, types.SimpleNamespace):
            return code_of(dict(vars(thing)), seen)
        simple = thing is None or isinstance(thing, (bool, int, float, complex, str, bytes, type(...), slice))
        return repr(thing) if simple else _named(thing if isinstance(thing, types.ModuleType) else type(thing))
    if is_installed(thing):
        return _named(thing)
    if id(thing) in seen:
        return seen[id(thing)]
    seen[id(thing)] = f"above: {len(seen)}"
    if isinstance(thing, types.MethodType):
        return [code_of(thing.__func__, seen), code_of(type(thing.__self__), seen)]
    if isinstance(thing, property):
        return [code_of(part, seen) for part in (thing.fget, thing.fset)]
    if isinstance(thing, type):
        parts = {name: code_of(part, seen) for name, part in vars(thing).items() if name not in NOT_CODE}
        return [thing.__name__, [code_of(base, seen) for base in thing.__bases__], parts]
    return _function(thing, seen)


def _function(function: types.FunctionType, seen: dict[int, str]) -> Any:
    cells = [_contents(cell) for cell in function.__closure__ or ()]
    names = sorted(_names(function.__code__))
    known = {name: function.__globals__[name] for name in names if name in function.__globals__}
    parts = (function.__defaults__, function.__kwdefaults__, cells, known)
    return [_compiled(function.__code__, seen), *(code_of(part, seen) for part in parts)]


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _compiled(code: types.CodeType, seen: dict[int, str]) -> Any:
    plain = [code_of(constant, seen) for constant in code.co_consts]
    return [content_hash(code.co_code), plain, code.co_names, code.co_varnames, code.co_freevars]


def _names(code: types.CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _named(thing: Any) -> str:
    module = getattr(thing, "__module__", None) or ""
    return f"{module}.{getattr(thing, '__qualname__', getattr(thing, '__name__', type(thing).__name__))}"


def is_installed(thing: Any) -> bool:
    """Whether a class or function comes with Python or an installed package (then its version stands for it)."""
    return _installed(str(getattr(thing, "__module__", None) or builtins.__name__))


@cache
def _installed(module: str) -> bool:
    file = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or file is None:  # a notebook's cells
        return module in sys.builtin_module_names or module in ("builtins", "keras", "tensorflow")
    folders = {sysconfig.get_path(kind) for kind in ("purelib", "platlib", "stdlib", "platstdlib")}
    return any(Path(file).resolve().is_relative_to(Path(folder).resolve()) for folder in folders)


def may_be_random(layer: Any) -> bool:
    """Whether a layer whose class isn't Keras's may give other values in training, to tell by the words of its code."""
    if is_keras(type(layer)) and type(layer).__name__ != "Lambda":
        return False
    text = str([code_of(thing) for thing in own_code(layer)]).lower()
    return any(word in text for word in RANDOM_WORDS)


def own_code(thing: Any, depth: int = 4) -> Iterator[Any]:
    """Classes and functions that aren't of installed packages, of an object and of what it holds (a schedule, say)."""
    if isinstance(thing, (types.FunctionType, types.MethodType, type)):
        if not is_installed(thing):
            yield thing
        return
    if isinstance(thing, (list, tuple, dict)):
        for item in thing.values() if isinstance(thing, dict) else thing:
            yield from own_code(item, depth - 1) if depth else ()
        return
    if not hasattr(thing, "get_config") or not depth:
        return
    if not is_installed(type(thing)):
        yield type(thing)
    for name, item in vars(thing).items():
        if not name.startswith("_") or name in ("_learning_rate", "_output_shape"):
            yield from own_code(item, depth - 1)


# ---- the network -----------------------------------------------------------------------------------------------------
def custom_objects(graph: Graph) -> dict[str, Any]:
    """Classes and functions of the network that aren't of installed packages, by the names that Keras knows them by."""
    import keras

    holders = [type(graph.model), *graph.ops, *graph.layers, graph.model.optimizer, graph.model.loss]
    objects = {id(code): code for holder in holders for code in own_code(holder)}
    names = {code.__name__: code for code in objects.values()}
    return names | {keras.saving.get_registered_name(code): code for code in objects.values()}


def described(graph: Graph) -> dict[str, Any]:
    """A network's layers, how they are joined, and their code, as plain values without names.

    Raises:
        LabError: a layer can't tell its configuration.
    """
    numbers = {id(op): i for i, op in enumerate(graph.ops)}
    calls = [[numbers[id(call.op)], _argument(call.args), _argument(call.kwargs)] for call in graph.calls]
    seen: dict[int, str] = {}
    holders = [type(graph.model), *(layer for op in graph.ops for layer in layers_of(op) or [op])]
    code = [code_of(thing, seen) for holder in holders for thing in own_code(holder)]
    ops = [_configured(op) for op in graph.ops]
    inputs = [[tensor.shape, tensor.dtype] for tensor in graph.model.inputs] if graph.calls else []
    return {"ops": ops, "calls": calls, "inputs": inputs, "output": _argument(graph.output), "code": code}


def as_built(value: Any) -> Any:
    """A description without what only says which values the variables begin with (initializers, seeds)."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key != "seed" and not key.endswith("_initializer")}
        return {key: as_built(item) for key, item in kept.items()}
    return [as_built(item) for item in value] if isinstance(value, (list, tuple)) else value


def plain_hash(value: Any) -> str:
    """`content_hash` of what holds nothing but plain values, which is quicker to say for a large network."""
    return content_hash(json.dumps(value, sort_keys=True, default=str).encode())


def _argument(value: Any) -> Any:
    if isinstance(value, Tensor):
        return ["tensor", value.call, value.place]
    if isinstance(value, (list, tuple)):
        return [_argument(item) for item in value]
    if isinstance(value, dict):
        return {key: _argument(item) for key, item in value.items()}
    if hasattr(value, "__array__"):
        return code_of(np.asarray(value))
    return code_of(value)


def _configured(op: Any) -> Any:
    """Class and configuration of a layer or operation, and which of the layers inside it are trainable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of lambdas
            config = op.get_config()
    except NotImplementedError as error:
        raise LabError(
            f"Layer {op.name} ({type(op).__name__}) can't tell its settings: give its class a get_config that returns "
            "the arguments of __init__."
        ) from error
    functions = {key for key in config if isinstance(getattr(op, key, None), types.FunctionType)}
    config = {key: "function" if key in functions else item for key, item in config.items()}
    trainable = [layer.trainable for layer in layers_of(op)]
    return [_named(type(op)), _without_names(config), trainable]


def _without_names(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_without_names(item) for item in value]
    if not isinstance(value, dict):
        return value
    if str(value.get("class_name", "")).startswith("DTypePolicy"):
        return value["config"]
    if (
        value.get("class_name") == "__lambda__"
    ):  # its code is looked at by `code_of`; this one holds its place in a file
        return "lambda"
    names = ("name", "registered_name", "shared_object_id")
    return {str(key): _without_names(item) for key, item in value.items() if key not in names}


def compiled_with(model: "keras.Model") -> dict[str, Any]:
    """Optimizer, learning rate, loss and its weights, as plain values without names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of lambdas
        config = {key: item for key, item in model.get_compile_config().items() if key not in CHANGES_NOTHING}
    config["loss"] = "function" if isinstance(model.loss, types.FunctionType) else config["loss"]
    code = [code_of(thing) for holder in (model.optimizer, model.loss) for thing in own_code(holder)]
    return {**_without_names(config), "code": code}


def values_hash(values: list[Any]) -> str:
    """Hash of the values of some variables or arrays, shapes and number types included."""
    arrays = [np.ascontiguousarray(np.asarray(value)) for value in values]
    return content_hash([[array.shape, str(array.dtype), content_hash(array.tobytes())] for array in arrays])


def run_key(
    graph: Graph, splits: "Sequence[Split]", precision: str | None, settings: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """All that the weights after training depend on, and the part of it that is compiled.

    Args:
        graph: the network.
        splits: what it is trained on, and what its best epoch is chosen on.
        precision: dtype policy of the computation.
        settings: epochs, batch, seed and whatever else `fit` was told.

    Returns:
        Plain settings with hashes of what is long; and a key that networks share that differ in data, first weights,
        seeds and a constant learning rate only (the same compiled steps serve them).
    """
    import keras

    compiled, description = compiled_with(graph.model), described(graph)
    key = {
        **settings,
        "compiled": compiled,
        "network": plain_hash(description),
        "first values": values_hash(graph.variables),
        "data": [split.content for split in splits],
        "precision": precision,
        "versions": versions("keras", "tensorflow"),
    }
    options = compiled["optimizer"]["config"]
    if isinstance(options.get("learning_rate"), float):
        options = options | {"learning_rate": "a variable"}
    constant = [layer for layer in graph.layers if isinstance(layer, keras.layers.Normalization)]
    held = [values_hash(layer.weights) for layer in constant]  # they compute with constants made of their weights
    steps = [compiled | {"optimizer": [compiled["optimizer"]["class_name"], options]}, held, precision]
    return key, plain_hash([as_built(description), *steps])
