"""Word vectors of German, French, Russian and Hindi: words stay whole, neighbours make sense, files hold the words."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests import commands
from w2v_jax.embeddings import load

pytestmark = pytest.mark.xdist_group(
    "languages"
)  # one worker: the vocabularies have one size, so one program serves all

# Animals and what they do, dishes and what becomes of them; the sentences below are made of these words alone.
TEXTS = {
    "German": (
        ("Hündin", "Käfer", "Bär", "Vögel", "Füchse"),
        ("schläft", "läuft", "hört"),
        ("Brötchen", "Käse", "Nüsse", "Äpfel", "Gemüse"),
        ("schmeckt", "fällt", "heiß"),
    ),
    "French": (
        ("chèvre", "bête", "éléphant", "âne", "zèbre"),
        ("rêve", "aujourd'hui", "protège"),
        ("crêpe", "pâté", "bœuf", "gâteau", "thé"),
        ("brûlé", "s\u2019abîme", "salé"),
    ),
    "Russian": (
        ("собака", "кошка", "лошадь", "ёж", "медведь"),
        ("спит", "бежит", "рычит"),
        ("хлеб", "суп", "сыр", "пирог", "мёд"),
        ("остывает", "кипит", "пахнет"),
    ),
    "Hindi": (
        ("कुत्ता", "बिल्ली", "घोड़ा", "हाथी", "चूहा"),
        ("सोता", "दौड़ता", "भागता"),
        ("रोटी", "चावल", "दूध", "मिठाई", "सब्ज़ी"),
        ("पकता", "जलता", "उबलता"),
    ),
}


def sentences(language: str) -> list[str]:
    """Lines of words of one kind, with marks and digits between them."""
    rng = random.Random(0)
    animals, deeds, dishes, fates = TEXTS[language]
    out = []
    for _ in range(400):
        things, verbs = rng.choice([(animals, deeds), (dishes, fates)])
        words = [rng.choice(part) for _ in range(4) for part in (things, verbs)]
        out.append(f"«{' '.join(words[:4])}», {rng.randrange(100)} — {' '.join(words[4:])}!")
    return out


@pytest.mark.parametrize("language", TEXTS)
def test_vectors_of_a_language(language: str, tmp_path: Path) -> None:
    lines = sentences(language)
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    small = {"model__dim": 16, "model__window": 2, "train__passes": 15.0, "data__min_count": 1, "model__sample": 0.0}
    done = commands.train(tmp_path / "text.txt", tmp_path / "run", **small, checkpoint__every_steps=100_000)
    assert done.status == 0, done.err
    assert "warning" not in done.err

    kinds = Counter(unicodedata.category(c)[0] for line in lines for c in line if not c.isspace())
    inner = sum(word.count("'") + word.count("\u2019") for line in lines for word in line.split())
    lost = done.result()["corpus"]["lost"]
    assert (lost["letters"], lost["marks"], lost["digits"]) == (0, 0, kinds["N"])
    assert lost["punctuation"] == kinds["P"] - inner

    animals, deeds, dishes, fates = (
        [unicodedata.normalize("NFC", w).lower() for w in part] for part in TEXTS[language]
    )
    vectors = load(tmp_path / "run" / "vectors.bin")
    assert set(vectors.words) == {*animals, *deeds, *dishes, *fates}
    unit = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    for kind, others in ((animals, dishes), (dishes, animals)):
        for word in kind:
            near = {w: float(unit[vectors.index[word]] @ unit[vectors.index[w]]) for w in (*kind, *others) if w != word}
            best = sorted(near, key=near.__getitem__)[-3:]
            assert set(best) <= set(kind), (word, near)

    from gensim.models import KeyedVectors

    theirs = KeyedVectors.load_word2vec_format(str(tmp_path / "run" / "vectors.bin"), binary=True)
    assert theirs.index_to_key == list(vectors.words)
    np.testing.assert_array_equal(theirs.vectors, vectors.vectors)
