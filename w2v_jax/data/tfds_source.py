"""Text of a TFDS data set: every example of one split is a document."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from w2v_jax.config import DataConfig
from w2v_jax.data.raw import END, MARK, Hash, RawText, stamp_of
from w2v_jax.errors import UserError, nearest
from w2v_jax.storage import stat, to_path

_BATCH = 512  # examples joined into one chunk
NOT_PREPARED = "run once with --config.data.offline=False to download it, or set data.data_dir"
GROUP = 16 * _BATCH  # examples that have a digest of their own: slices of several processes consist of whole groups


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

    total = split.num_examples

    def chunks(content: Hash, begin: int = 0, end: int | None = None) -> Iterator[tuple[str, int]]:
        content.update(b"" if begin else f"tfds {label}\n".encode())
        return _read(builder, cfg, label, begin, total if end is None else end, content)

    def cut(i: int, n: int) -> RawText:
        groups = -(-total // GROUP)
        begin, end = (min(groups * j // n * GROUP, total) for j in (i, i + 1))
        if begin == end:
            return whole.emptied()
        return dataclasses.replace(whole, chunks=partial(chunks, begin=begin, end=end))

    # The size of a compressed record file says little about the text: the size is unknown.
    named = cfg.tfds_split in builder.info.splits and total > GROUP  # of another expression no part can be named
    whole = RawText(f"tfds {label}", stamp, settled, 0, chunks, cut=cut if named else None)
    return whole


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


def rows(builder: Any, cfg: DataConfig, *features: str, part: tuple[int, int] | None = None) -> Any:
    """These features of the examples of `cfg.tfds_split`, in the order of the record files, as a `tf.data.Dataset`.

    `part`: only the examples begin..end-1 of a split that is named plainly; other record files are not opened.
    """
    import tensorflow_datasets as tfds

    split: Any = cfg.tfds_split
    if part is not None:
        split = tfds.core.ReadInstruction(split, from_=part[0], to=part[1], unit="abs")
    order = tfds.ReadConfig(interleave_cycle_length=1, add_tfds_id=False)
    only = tfds.decode.PartialDecoding(dict.fromkeys(features, True))
    return builder.as_dataset(split=split, shuffle_files=False, read_config=order, decoders=only)


def _read(
    builder: Any, cfg: DataConfig, label: str, begin: int, total: int, content: Hash
) -> Iterator[tuple[str, int]]:
    """Examples begin..total-1; `content` is fed a digest of each `GROUP` of them, which slices do not cut."""
    done, seen, group = 0, begin, hashlib.blake2b(digest_size=32)
    part = (begin, total) if cfg.tfds_split in builder.info.splits else None
    found = rows(builder, cfg, cfg.field, part=part)
    for batch in found.map(lambda x: x[cfg.field]).batch(_BATCH).as_numpy_iterator():
        pieces: list[bytes] = batch.tolist()
        joined = MARK.encode().join(pieces)
        done += len(joined)
        group.update(joined + MARK.encode())
        try:
            text = joined.decode("utf-8")
        except UnicodeDecodeError as e:
            bad = joined.count(MARK.encode(), 0, e.start)
            raise UserError(f"{label}: example {seen + bad} is not UTF-8") from None
        if text.count(END) != len(pieces) - 1:
            bad = next(i for i, p in enumerate(pieces) if END.encode() in p)
            raise UserError(f"{label}: example {seen + bad} holds a NUL; it is not text")
        seen += len(pieces)
        if seen % GROUP == 0 or seen == total:
            content.update(group.digest())
            group = hashlib.blake2b(digest_size=32)
        yield text + MARK, done
    if seen != total:
        raise UserError(f"{label}: the examples end at {seen} where {total} are recorded; prepare the data set again")


def prepare_advice(cfg: DataConfig) -> dict[str, str]:
    """For `renamed`: what a command that takes no keys of a config advises on a data set that is not prepared."""
    return {NOT_PREPARED: "prepare it there" + ("" if cfg.data_dir else ", or set TFDS_DATA_DIR")}


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
        raise UserError(f"tfds:{name} is not prepared under {_data_root(cfg)}: {NOT_PREPARED}")
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
