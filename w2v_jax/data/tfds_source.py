"""Text of a TFDS data set: every example of one split is a document."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from w2v_jax.config import DataConfig
from w2v_jax.data.raw import END, MARK, RawText, stamp_of
from w2v_jax.errors import UserError, nearest
from w2v_jax.storage import stat, to_path

_BATCH = 512  # examples joined into one chunk


def examples(name: str, cfg: DataConfig) -> RawText:
    """The text feature `cfg.field` of split `cfg.tfds_split` of NAME[/CONFIG][:VERSION], in the order of the files.

    With `cfg.offline` only the disk is read: the data set's own folder is opened, its builder code is not imported.
    UserError: not prepared on disk, no such split or feature, a feature that is not text.
    """
    builder = opened(name, cfg)
    features = builder.info.features
    if cfg.field not in features:
        known = ", ".join(features)
        raise UserError(f"data.field={cfg.field!r}: {name} has the features {known}{nearest(cfg.field, features)}")
    kind = getattr(features[cfg.field].tf_dtype, "name", "a structure")
    if kind != "string" or features[cfg.field].shape != ():
        raise UserError(f"data.field={cfg.field!r}: this feature of {name} is not text but {kind}; name a text feature")
    split = builder.info.splits[cfg.tfds_split]
    entries = [(f"{p.filename} {p.skip} {p.take}", stat(p.filename)) for p in split.file_instructions]
    stamp, settled = stamp_of(entries)
    label = f"{builder.info.full_name} {cfg.tfds_split} {cfg.field}"

    def chunks(content: hashlib.blake2b) -> Iterator[tuple[str, int]]:
        content.update(f"tfds {label}\n".encode())
        return _read(builder, cfg, label, split.num_examples, content)

    # The size of a compressed record file says little about the text: the size is unknown.
    return RawText(f"tfds {label}", stamp, settled, 0, chunks)


def opened(name: str, cfg: DataConfig) -> Any:
    """The builder of a data set.

    UserError: not prepared on disk (`cfg.offline`), unknown to TFDS, or without the split `cfg.tfds_split`.
    """
    builder = _offline_builder(name, cfg) if cfg.offline else _online_builder(name, cfg)
    splits = builder.info.splits
    try:
        splits[cfg.tfds_split].file_instructions  # noqa: B018 - a wrong split shows only here
    except (KeyError, ValueError) as e:
        why = " ".join(str(e).split())[:160]
        raise UserError(f"tfds:{name}: no split {cfg.tfds_split!r}, only {', '.join(splits)} ({why})") from None
    return builder


def rows(builder: Any, cfg: DataConfig, *features: str) -> Any:
    """These features of the examples of `cfg.tfds_split`, in the order of the record files, as a `tf.data.Dataset`."""
    import tensorflow_datasets as tfds

    order = tfds.ReadConfig(interleave_cycle_length=1, add_tfds_id=False)
    only = tfds.decode.PartialDecoding(dict.fromkeys(features, True))
    return builder.as_dataset(split=cfg.tfds_split, shuffle_files=False, read_config=order, decoders=only)


def _read(builder: Any, cfg: DataConfig, label: str, total: int, content: hashlib.blake2b) -> Iterator[tuple[str, int]]:
    done = seen = 0
    for batch in rows(builder, cfg, cfg.field).map(lambda x: x[cfg.field]).batch(_BATCH).as_numpy_iterator():
        pieces: list[bytes] = batch.tolist()
        joined = MARK.encode().join(pieces)
        done += len(joined)
        content.update(joined + MARK.encode())
        try:
            text = joined.decode("utf-8")
        except UnicodeDecodeError as e:
            bad = joined.count(MARK.encode(), 0, e.start)
            raise UserError(f"{label}: example {seen + bad} is not UTF-8") from None
        if text.count(END) != len(pieces) - 1:
            bad = next(i for i, p in enumerate(pieces) if END.encode() in p)
            raise UserError(f"{label}: example {seen + bad} holds a NUL; it is not text")
        seen += len(pieces)
        yield text + MARK, done
    if seen != total:
        raise UserError(f"{label}: {seen} examples read where {total} are recorded; prepare the data set again")


def _data_root(cfg: DataConfig) -> Path:
    return to_path(os.path.expanduser(cfg.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"))


def _offline_builder(name: str, cfg: DataConfig) -> Any:
    """Opens NAME[/CONFIG]/VERSION by its folder: TFDS would ask cloud storage about a name."""
    base, _, version = name.partition(":")
    folder = _data_root(cfg) / base
    found = [
        p for p in folder.glob("*") if re.fullmatch(r"\d+\.\d+\.\d+", p.name) and (p / "dataset_info.json").exists()
    ]
    if version:
        found = [p for p in found if p.name == version]
    if not found:
        configs = sorted({p.parent.parent.name for p in folder.glob("*/*/dataset_info.json")})
        if configs and not version:
            raise UserError(
                f"tfds:{name}: name one of its prepared configs: " + ", ".join(f"{base}/{c}" for c in configs)
            )
        raise UserError(
            f"tfds:{name} is not prepared under {_data_root(cfg)}: run once with --config.data.offline=False "
            "to download it, or set data.data_dir"
        )
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(str(max(found, key=lambda p: [int(n) for n in p.name.split(".")])))


def _online_builder(name: str, cfg: DataConfig) -> Any:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=str(_data_root(cfg)))
    except (tfds.core.DatasetNotFoundError, ValueError) as e:
        raise UserError(f"tfds:{name}: {' '.join(str(e).split())[:200]}") from None
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return builder
