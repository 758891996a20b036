"""One tree of errors; every class survives pickling."""

import pickle

import pytest

from decompose_distill import errors

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.DecomposeDistillError)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[errors.DecomposeDistillError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("field 'x' must be above 0")))

    assert type(copy) is kind
    assert str(copy) == "field 'x' must be above 0"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_stands_in_the_documented_tree(kind: type) -> None:
    assert f"{kind.__name__}" in (errors.__doc__ or "")


def test_only_a_backend_that_may_work_later_is_unavailable() -> None:
    assert issubclass(errors.BackendUnavailable, errors.BackendError)
    assert issubclass(errors.CheckpointError, errors.TrainingError)
