"""Scores, against gensim where it has them and against plain loops where it has not."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest

from w2v_jax.embeddings import EPSILON, Embeddings
from w2v_jax.errors import UserError
from w2v_jax.evaluation import analogies as analogies_module
from w2v_jax.evaluation import builtin, evaluate_all, table
from w2v_jax.evaluation.analogies import add_up, analogies, questions_of, read_bats, read_msr, read_questions
from w2v_jax.evaluation.categorisation import purity, read_classes
from w2v_jax.evaluation.frequency import BINS, similarity_by_frequency
from w2v_jax.evaluation.similarity import read_pairs, similarity
from w2v_jax.tables import aligned

CASES = ["word", "Word", "WORD"]


def vectors(v: int, d: int, structured: bool, seed: int = 0) -> Embeddings:
    """Random words; structured ones come in pairs that differ by a common offset, so that analogies have answers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(v, d))
    if structured:
        x[1::2] = x[::2] + 0.9 * rng.normal(size=d) + 0.35 * rng.normal(size=(v // 2, d))
    # Letter cases of one word, apart from each other, are what the case-blind rules are about.
    words = [f"{CASES[i // 7 % 3]}{i % 7 if i < 42 else i}" for i in range(v)]
    words = [w if words.index(w) == i else f"x{i}" for i, w in enumerate(words)]
    return Embeddings(words, x.astype(np.float32))


def questions(emb: Embeddings, n: int, seed: int = 1) -> dict[str, list[tuple[str, str, str, str]]]:
    rng = np.random.default_rng(seed)
    words = [*emb.words, "unheard-of"]
    out: dict[str, list[tuple[str, str, str, str]]] = {"family": [], "gram1": [], "empty": []}
    for i in range(n):
        p, q = rng.integers(len(emb) // 2, size=2)
        picked = [2 * p, 2 * p + 1, 2 * q, 2 * q + 1] if i % 3 else rng.integers(len(words), size=4)
        a, b, c, d = (words[j].upper() if rng.random() < 0.3 else words[j] for j in picked)
        out["family" if i % 2 else "gram1"].append((a, b, c, d))
    return out


def write_questions(path, sections) -> None:
    lines = [line for name, qs in sections.items() for line in (f": {name}", *(" ".join(q) for q in qs))]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("restrict", [90, 250, 5000])
def test_analogies_count_as_gensim_does(tmp_path, structured, restrict):
    models = pytest.importorskip("gensim.models")
    emb = vectors(300, 12, structured)
    sections = questions(emb, 600)
    write_questions(tmp_path / "q.txt", sections)
    assert read_questions(tmp_path / "q.txt") == sections
    kv = models.KeyedVectors(emb.dim)
    kv.add_vectors(list(emb.words), emb.vectors)
    _, theirs = kv.evaluate_word_analogies(str(tmp_path / "q.txt"), restrict_vocab=min(restrict, 300))
    ours = analogies(emb, sections, restrict)
    for section in theirs[:-1]:
        score = ours[section["section"]]
        assert score.add == len(section["correct"])
        assert score.asked == len(section["correct"]) + len(section["incorrect"])
        assert score.total == len(sections[section["section"]])
    total = add_up(list(ours.values()))
    assert total.add == len(theirs[-1]["correct"]) and total.total == 600
    if structured:
        assert 30 < total.add < total.asked, "the test must have right and wrong answers to compare"


@pytest.mark.parametrize(("block", "batch"), [(1 << 22, 1 << 19), (1000, 700)])
def test_every_rule_by_a_plain_loop(monkeypatch, block, batch):
    monkeypatch.setattr(analogies_module, "_BLOCK_FLOATS", block)
    monkeypatch.setattr(analogies_module, "_BATCH_FLOATS", batch)
    emb = vectors(700, 12, True)
    sections = questions(emb, 120)
    right = np.zeros(4, int)
    x = emb.vectors.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    upper = [w.upper() for w in emb.words]
    for a, b, c, d in (tuple(w.upper() for w in q) for qs in sections.values() for q in qs):
        if not {a, b, c, d} <= set(upper):
            continue
        cos = [x @ x[upper.index(w)] for w in (a, b, c)]
        add = cos[1] + cos[2] - cos[0]
        mul = (1 + cos[1]) * (1 + cos[2]) / 4 / ((1 + cos[0]) / 2 + EPSILON)
        for i, score in enumerate([add, mul, add, mul]):
            order = [upper[j] for j in np.argsort(-score)]
            right[i] += next(w for w in order if i > 1 or w not in (a, b, c)) == d
    total = add_up(list(analogies(emb, sections, 0).values()))
    assert tuple(total)[2:] == tuple(right)
    assert right[2] < right[0] and right[1] > 0


def test_no_question_can_be_asked():
    emb = vectors(30, 4, False)
    assert analogies(emb, {"s": [("no", "such", "words", "here")]}) == {"s": (1, 0, 0, 0, 0, 0)}
    assert analogies(emb, {}) == {} and add_up([]).asked == 0
    assert add_up([]).shares()["accuracy_add"] is None


def test_question_files(tmp_path):
    (tmp_path / "msr.tsv").write_text("JJ_JJR\tgood\tbetter\trough\trougher\nNN\ta\tb\tc\td\n")
    assert read_msr(tmp_path / "msr.tsv") == {
        "JJ_JJR": [("good", "better", "rough", "rougher")],
        "NN": [("a", "b", "c", "d")],
    }
    (tmp_path / "bats.tsv").write_text("1_x/I01\ta\tas\n1_x/I01\tb\tbs\n1_x/I01\tc\tcs\n2_y/D\tp\tq\n")
    bats = read_bats(tmp_path / "bats.tsv")
    assert len(bats["1_x/I01"]) == 6 and bats["1_x/I01"][:2] == [("a", "as", "b", "bs"), ("a", "as", "c", "cs")]
    assert bats["2_y/D"] == []
    for text, message in [
        ("a b c d\n", "line 1: a section"),
        (": s\n\na b c\n", "line 3: must be four words"),
        ("", "is empty"),
    ]:
        (tmp_path / "q.txt").write_text(text)
        with pytest.raises(UserError, match=message):
            read_questions(tmp_path / "q.txt")
    with pytest.raises(UserError, match="no such file"):
        read_msr(tmp_path / "none")
    (tmp_path / "q.txt").write_bytes(b": s\n\xff b c d\n")
    with pytest.raises(UserError, match="line 2: not UTF-8"):
        read_questions(tmp_path / "q.txt")


def test_similarity_is_gensims(tmp_path):
    models = pytest.importorskip("gensim.models")
    rng = np.random.default_rng(3)
    emb = Embeddings([f"w{i}" for i in range(80)], rng.normal(size=(80, 6)).astype(np.float32))
    words = [*emb.words, "unknown"]
    rows = [
        (words[i].title(), words[j], round(float(s), 1))
        for i, j, s in zip(*rng.integers(81, size=(2, 150)), rng.random(150) * 10, strict=True)
        if i != j  # a word's cosine with itself is 1 give or take a rounding, which decides its rank among equals
    ]
    (tmp_path / "p.tsv").write_text("".join(f"{a}\t{b}\t{s}\n" for a, b, s in rows))
    assert read_pairs(tmp_path / "p.tsv") == rows
    kv = models.KeyedVectors(6)
    kv.add_vectors(list(emb.words), emb.vectors)
    pearson, spearman, missing = kv.evaluate_word_pairs(str(tmp_path / "p.tsv"))
    ours = similarity(emb, rows)
    assert ours.spearman == pytest.approx(spearman[0], abs=1e-6)
    assert ours.pearson == pytest.approx(pearson[0], abs=1e-6)
    assert 100 * (1 - ours.found / ours.total) == pytest.approx(missing) and ours.total == len(rows)


def test_similarity_without_enough_pairs(tmp_path):
    emb = Embeddings(["a", "b"], np.eye(2, dtype=np.float32))
    assert similarity(emb, [("a", "z", 1.0)]) == (None, None, 0, 1)
    assert similarity(emb, [("a", "b", 1.0), ("z", "b", 1.0)]) == (None, None, 1, 2)
    (tmp_path / "p").write_text("a\tb\thigh\n")
    with pytest.raises(UserError, match="line 1: 'high' is not a score"):
        read_pairs(tmp_path / "p")
    (tmp_path / "p").write_text("a\tb\t1\na b 2\n")
    with pytest.raises(UserError, match="line 2: must be 3 fields"):
        read_pairs(tmp_path / "p")
    (tmp_path / "p").write_text("a \t b\t 1 \n")
    assert read_pairs(tmp_path / "p") == [("a", "b", 1.0)]


def test_purity(tmp_path):
    """Three clear clusters of 4; two of the 12 words carry the label of another cluster: 10/12."""
    rng = np.random.default_rng(0)
    x = np.repeat(np.eye(3), 4, axis=0) + 0.01 * rng.normal(size=(12, 3))
    emb = Embeddings([f"w{i}" for i in range(12)], x.astype(np.float32))
    labels = [f"class {i // 4}" for i in range(12)]
    assert purity(emb, [(c, f"W{i}") for i, c in enumerate(labels)]) == (1.0, 3, 12, 12)
    labels[0], labels[11] = "class 1", "class 0"
    (tmp_path / "c.tsv").write_text("".join(f"{c}\tw{i}\n" for i, c in enumerate(labels)) + "class 9\tunknown\n")
    found = purity(emb, read_classes(tmp_path / "c.tsv"))
    assert found == (pytest.approx(10 / 12), 3, 12, 13)
    assert purity(emb, [("c", "unknown")]) == (None, 0, 0, 1)
    same = Embeddings(["a", "b", "c"], np.ones((3, 2), np.float32))
    assert purity(same, [("x", "a"), ("y", "b"), ("y", "c")]).purity == pytest.approx(2 / 3)


def test_similarity_by_frequency_counts_a_pair_once_and_weighs_the_sets():
    rng = np.random.default_rng(5)
    words, x = [f"w{i}" for i in range(60)], rng.normal(size=(60, 4)).astype(np.float32)
    counts = np.repeat([600, 50, 7], 20)
    emb = Embeddings(words, x, counts)
    rare = [(words[i], words[40 + i], float(rng.random())) for i in range(20)]  # frequent and rare: as rare
    middle = [(words[i], words[20 + i // 2], float(rng.random())) for i in range(25)] + [("w0", "nowhere", 1.0)]
    often = [(words[i], words[19 - i], float(rng.random())) for i in range(10)]  # too few for a score
    other = [(b, a.upper(), 5.0) for a, b, _ in rare]  # the same pairs, turned: a smaller set does not count them
    again = [(words[20 + i], words[39 - i], float(rng.random())) for i in range(20)]
    sets = {"large": rare + middle + often, "small": other + [("w1", "w2", 1.0)], "again": again}
    found = similarity_by_frequency(emb, sets)
    assert list(found) == list(BINS)
    assert found["below 20"] == {"spearman": similarity(emb, rare).spearman, "pairs": 20, "sets": 1, "left_out": 0}
    two = (25 * similarity(emb, middle[:25]).spearman + 20 * similarity(emb, again).spearman) / 45
    assert found["20 to 99"] == {"spearman": pytest.approx(two), "pairs": 45, "sets": 2, "left_out": 0}
    assert found["500 and more"] == {"spearman": None, "pairs": 0, "sets": 0, "left_out": 11}, "10 and 1 of two sets"
    assert similarity_by_frequency(Embeddings(words, x), sets) == {}


def test_builtin_list_is_well_formed():
    pairs = builtin.similarity_pairs()
    assert len({frozenset(p[:2]) for p in pairs}) == len(pairs) >= 60
    assert all(a != b and 0 <= s <= 10 for a, b, s in pairs) and len({s for *_, s in pairs}) >= 4
    sections = builtin.analogy_sections()
    assert sum(len(q) for q in sections.values()) >= 60
    assert all(len(set(q)) == 4 for qs in sections.values() for q in qs)
    assert questions_of([("a", "b"), ("c", "d")]) == [("a", "b", "c", "d"), ("c", "d", "a", "b")]


def data_folder(tmp_path):
    for part in ("similarity", "analogy", "categorization"):
        (tmp_path / part).mkdir()
    (tmp_path / "similarity" / "tiny.tsv").write_text("word1\tx43\t3\nword2\tx44\t5\nword2\tx45\t1\n")
    write_questions(tmp_path / "analogy" / "questions-words.txt", questions(vectors(300, 12, True), 60))
    (tmp_path / "categorization" / "tiny.tsv").write_text("a\tword1\nb\tword2\nb\tnothing\n")
    return tmp_path


def test_all_of_a_folder(tmp_path):
    emb = vectors(300, 12, True)
    results = evaluate_all(emb, data_folder(tmp_path), restrict=200)
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert list(results["similarity"]) == ["tiny"] and results["categorization"]["tiny"]["found"] == 2
    google = results["analogy"]["questions-words"]
    assert set(google["groups"]) == {"semantic", "syntactic"}
    for key in ("total", "asked", "add", "mul"):
        assert google["all"][key] == sum(google["groups"][g][key] for g in google["groups"])
    assert google["groups"]["syntactic"]["total"] == google["sections"]["gram1"]["total"] == 30
    text = table(results)
    for word in ("tiny", "family", "semantic", "syntactic", "first 200 words", f"{google['all']['accuracy_add']:.3f}"):
        assert word in text
    assert max(map(len, text.split("\n"))) <= 120


def test_what_is_no_test_of_a_folder_is_named_and_packed_files_are_read(tmp_path):
    folder, emb = data_folder(tmp_path), vectors(300, 12, True)
    plain = evaluate_all(emb, folder)
    assert plain["left_out"] == [] and "left out" not in table(plain)
    for part, name in (("similarity", "tiny.tsv"), ("analogy", "questions-words.txt")):
        (folder / part / f"{name}.gz").write_bytes(gzip.compress((folder / part / name).read_bytes()))
    with pytest.raises(UserError, match=r"tiny.tsv.gz: tiny.tsv is beside it"):
        evaluate_all(emb, folder)
    (folder / "similarity" / "tiny.tsv").unlink()
    (folder / "analogy" / "questions-words.txt").unlink()
    for name in ("similarity/b.txt", "analogy/other.txt", "notes.md", ".hidden"):
        (folder / name).write_text("a\tb\t1\n")
    (folder / "categorisation").mkdir()
    packed = evaluate_all(emb, folder)
    left = ["categorisation/", "notes.md", "similarity/b.txt", "analogy/other.txt"]
    assert packed == plain | {"left_out": left}
    assert f"left out, no test files by their names: {', '.join(left)}\n" in table(packed)
    assert "and 2 more\n" in table(packed | {"left_out": [f"f{i}" for i in range(10)]})


def test_one_file_is_a_test_whatever_its_name(tmp_path):
    folder, emb = data_folder(tmp_path), vectors(300, 12, True)
    whole = evaluate_all(emb, folder)
    for part, name in (("similarity", "tiny.tsv"), ("categorization", "tiny.tsv"), ("analogy", "questions-words.txt")):
        alone = evaluate_all(emb, folder / part / name)
        assert alone[part] == whole[part] and alone["data"] == name and alone["left_out"] == []
        assert not any(alone[other] for other in ("similarity", "analogy", "categorization") if other != part)
    own = folder / "mine.txt.gz"
    own.write_bytes(gzip.compress((folder / "analogy" / "questions-words.txt").read_bytes()))
    found = evaluate_all(emb, own)
    assert found["analogy"] == {"mine": whole["analogy"]["questions-words"]} and "mine" in table(found)
    (folder / "prose.txt").write_text("# a note\nIt was the best of times.\n")
    with pytest.raises(UserError, match="prose.txt: line 2: no test of word vectors, which are lines of"):
        evaluate_all(emb, folder / "prose.txt")


def test_all_without_a_folder_and_with_a_wrong_one(tmp_path):
    emb = Embeddings(["value", "values", "array", "arrays"], np.eye(4, dtype=np.float32))
    results = evaluate_all(emb)
    assert "indication" in table(results) and results["analogy"]["builtin"]["sections"]["gram plural"]["asked"] == 2
    with pytest.raises(UserError, match="no test file"):
        evaluate_all(emb, tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        evaluate_all(emb, tmp_path / "none")
    with pytest.raises(UserError, match="restrict"):
        evaluate_all(emb, restrict=-1)


def test_aligned():
    assert aligned([["a", "b"], ["long", "1.5"], ["x"]]) == "a       b\nlong  1.5\nx"


def test_published_sets(shared_data):
    """Every published file reads whole: the counts that its README states."""
    rng = np.random.default_rng(0)
    folder = shared_data / "word_eval"
    words = dict.fromkeys(
        w.lower() for qs in read_questions(folder / "analogy" / "questions-words.txt").values() for q in qs for w in q
    )
    results = evaluate_all(Embeddings(list(words), rng.normal(size=(len(words), 4)).astype(np.float32)), folder)
    google = results["analogy"]["questions-words"]
    assert google["all"]["asked"] == google["all"]["total"] == 19_544
    assert (google["groups"]["semantic"]["total"], google["groups"]["syntactic"]["total"]) == (8_869, 10_675)
    assert results["analogy"]["msr"]["all"]["total"] == 8_000
    assert results["analogy"]["bats"]["all"]["total"] == 39 * 50 * 49 + 48 * 47
    assert results["similarity"]["men"]["total"] == 3_000 and results["categorization"]["ap"]["total"] == 402
    assert all(math.isfinite(r["spearman"]) for r in results["similarity"].values() if r["spearman"] is not None)
