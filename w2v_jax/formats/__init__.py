"""Reads files of word vectors: word2vec text and binary, GloVe text, fastText models, NumPy arrays with their words,
safetensors, and folders that can be mapped.

Content decides which it is, headers are checked against the size of the file, and every error names a line or a byte.
Nothing is unpickled. `w2v_jax.embeddings` is the interface; `w2v_jax.export` writes the same formats.
"""

from w2v_jax.formats.fasttext import write_fasttext as write_fasttext
from w2v_jax.formats.native import Unmapped as Unmapped
from w2v_jax.formats.native import read_vocab as read_vocab
from w2v_jax.formats.ngrams import NGRAMS as NGRAMS
from w2v_jax.formats.ngrams import NGRAMS_JSON as NGRAMS_JSON
from w2v_jax.formats.ngrams import read_ngrams as read_ngrams
from w2v_jax.formats.reading import ENCODING_ERRORS as ENCODING_ERRORS
from w2v_jax.formats.reading import read as read
from w2v_jax.formats.rows import MAX_WORD as MAX_WORD
from w2v_jax.formats.rows import Table as Table
from w2v_jax.formats.rows import finite as finite
from w2v_jax.formats.subwords import Subwords as Subwords
from w2v_jax.formats.tensors import to_safetensors as to_safetensors
