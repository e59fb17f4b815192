"""A small test written for this project, for vectors trained on technical English (such as the `pydocs` corpus).

It indicates that training works and is no benchmark: one person wrote and graded the pairs, from 0 (unrelated) to 10
(the same), and the questions use common forms only. Compare models by the published sets.
"""

from __future__ import annotations

from w2v_jax.evaluation.analogies import Sections, questions_of
from w2v_jax.evaluation.similarity import Pair

_GRADED = {
    9.0: """array matrix, function method, argument parameter, arguments parameters, folder directory, error exception,
        begin start, end stop, remove delete, create make, big large, maximum minimum, string text,
        compute calculate""",
    7.5: """input output, row column, rows columns, read write, true false, client server, integer float, list tuple,
        mean average, mean median, sine cosine, width height, first last, training test, encode decode, month year,
        open close""",
    5.5: """class object, module package, file path, vector dimension, network socket, random seed, line text,
        probability distribution, gradient optimizer, image pixel, thread process, key value, variance covariance,
        figure plot, date time""",
    3.0: """file network, number string, name value, process time, data model, test error, loop list, color line,
        user system, message file, size number, shape size""",
    0.5: """cosine socket, matrix email, directory gradient, month matrix, variance thread, pixel exception,
        server median, probability folder, image tuple, polynomial password, kernel year, seed header, color integral,
        sine client""",
}

_RELATIONS = {
    "gram plural": "value values, array arrays, function functions, object objects, name names, file files",
    "gram third person": "return returns, use uses, contain contains, compute computes, raise raises, call calls",
    "gram participle": "use using, return returning, compute computing, contain containing, write writing",
    "gram past": "use used, return returned, compute computed, raise raised, specify specified, convert converted",
    "opposites": "first last, minimum maximum, input output, true false, start end, row column",
}


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(first, second) for first, second in map(str.split, text.split(","))]


def similarity_pairs() -> list[Pair]:
    """The graded pairs, scores from 0 to 10."""
    return [(first, second, grade) for grade, text in _GRADED.items() for first, second in _pairs(text)]


def analogy_sections() -> Sections:
    """All questions from the pairs of each relation."""
    return {name: questions_of(_pairs(text)) for name, text in _RELATIONS.items()}
