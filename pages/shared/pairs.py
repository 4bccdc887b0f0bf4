"""The two classes that are compared where a page compares two."""

from pages.shared.address import Choice
from pages.shared.session import Scene

Classes = tuple[int, int]


def objects(scene: Scene) -> tuple[int, ...]:
    """The classes of the objects that the photo is known to show, each once."""
    return tuple(dict.fromkeys(each.index for each in scene.photo.objects))


def compared(choice: Choice, scene: Scene) -> Classes:
    """The classes A and B.

    What is not chosen is the photo's first two objects if it is known to show two, else the most and the
    least likely class.
    """
    first, second, shown = choice.target, choice.other, objects(scene)
    if first is None and second is None and len(shown) > 1:
        return shown[0], shown[1]
    order = scene.explanation.probabilities.argsort()
    first = int(order[-1]) if first is None else first
    if second is None or second == first:
        second = int(order[0]) if int(order[0]) != first else int(order[-1])
    return first, second


def replaced(classes: Classes, position: int, index: int) -> Classes:
    """The classes with another one as A (position 0) or B (1); the two change places if it is the other."""
    if index == classes[1 - position]:
        return classes[1], classes[0]
    return (index, classes[1]) if position == 0 else (classes[0], index)
