"""Where no pair or token is scored, there is no loss: nothing is reported as 0, and nothing is the best."""

from __future__ import annotations

from pathlib import Path

from tests import commands
from tests.commands import metrics, refused, train


def test_a_text_whose_words_have_no_neighbours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "alone.txt").write_text("".join(f"{word}\n" for word in "abcdefgh" * 40))
    words = commands.training(tmp_path / "alone.txt", tmp_path / "run", data__min_count=1)
    refused(commands.run("experiments.train", *words), "no document has two known words", alone=False)
    (tmp_path / "pairs.txt").write_text("a b c d e f g h\n" * 40)
    words = commands.training(tmp_path / "pairs.txt", tmp_path / "run", data__min_count=1, data__block_tokens=1)
    refused(commands.run("experiments.train", *words), "data.block_tokens=1", alone=False)
    assert not (tmp_path / "run").exists()


def test_a_held_out_text_without_pairs_gives_no_loss(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("a b c d e f g h\n" * 40)
    (tmp_path / "alone.txt").write_text("a\nb\n")
    held = {"data__heldout_source": f"text:{tmp_path / 'alone.txt'}", "data__min_count": 1}
    done = train(tmp_path / "text.txt", tmp_path / "run", **held)
    assert done.status == 0 and done.err.count("no pair or token to score: there is no held-out loss") >= 1, done.err
    result = done.result()
    assert result["loss"] > 0 and result["heldout_loss"] is None and result["best_heldout_step"] is None
    assert all(row["heldout_loss"] is None for row in metrics(tmp_path / "run"))
