"""Bad command lines of the commands about documents, labels and pairs of texts, for `tests/bad_inputs.py`."""

from __future__ import annotations

PAIRS = "experiments.pairs --workdir={h}/out "
ENCODER = (
    PAIRS + "--config={c}/pairs_sick.py --config.model.vectors={h}/vec --config.model.dim=4 --config.data.test_source= "
    "--config.data.heldout_source= --config.data.labels=binary --config.model.loss=contrastive "
)
TOPICS = (
    "experiments.topics --config={c}/topics.py --workdir={h}/out --config.data.min_count=1 --config.data.skip_top=0 "
    "--config.data.heldout_every=0 --config.model.dim=3 --config.data.source=text:{h}/docs.txt "
)
CLASSIFY = "experiments.classify --workdir={h}/out --config.data.min_count=1 --train=tsv:{h}/labelled.tsv "
COMPARE = "experiments.compare --workdir={h}/out --min_count=1 --dim=3 --source=text:{h}/docs.txt "
PAIRED = {  # sources of pairs, and other flags
    "one_side.tsv": "one_side.tsv:1: has 2 columns, and column 3 is needed",
    "no_second.tsv": "the text in column 3 is empty; remove the pair",
    "no_first.tsv": "the text in column 2 is empty; remove the pair",
    "maybe.tsv": "'MAYBE' is none of SAME, DIFFERENT",
    "grades.tsv --config.data.labels=1..5 --config.model.loss=grades": "score '9' is no number from 1 to 5",
    "nan_grade.tsv --config.data.labels=1..5 --config.model.loss=grades": "score 'nan' is no number from 1 to 5",
    "all_same.tsv": "all training pairs are SAME",
    "strangers.tsv": "none of its words is known",
    "pairs.tsv@1,2,9": "column 9 is needed",
    "pairs.tsv@0,1,2": "columns are counted from 1",
    "pairs.tsv@1,2,3,1=NEVER": "no line has 'NEVER' in column 1",
    "pairs.tsv --config.data.labels=5..1": "or the range of a score such as 1..5",
    "pairs.tsv --config.model.dim=7": "has 4 dimensions, model.dim=7",
    "pairs.tsv --config.data.test_source=pairs:{h}/one_side.tsv": "one_side.tsv:1: has 2 columns",
    "pairs.tsv --config.checkpoint.keep=2": "--config.checkpoint.keep: would have no effect",
    "pairs.tsv --counts={h}/file": "the file is empty",
    "mac.tsv": "carriage returns alone",
}
DOCUMENTS = {
    PAIRS: {
        "": "--config is missing",
        "--first=a": "give both",
        "--first=a --second=b": "holds no results.json",
        "--config={c}/sentiment.py": "family recurrent_classifier cannot be trained here",
        "--config={c}/pairs_sick.py --config.data.source=pairs:{h}/good.tsv": "good.tsv:1: has 2 columns, and column 3",
        "--config={c}/pairs_sick.py --config.data.source=tsv:{h}/good.tsv": "pairs of texts are needed",
        "--newsgroups={h}/none": "none/train.jsonl",
    },
    "experiments.classify --workdir={h}/out": {
        "": "--train is missing",
        "--train=tsv:{h}/one_label.tsv --test=tsv:{h}/good.tsv": "label 1 alone is left to fit|no label is left to fit",
        "--train=tsv:{h}/label.tsv": "set data.labels=named",
        "--train=tsv:{h}/blank.tsv": "no label is left to fit",
        "--train=tsv:{h}/named.tsv --config.data.labels=named --test=tsv:{h}/eggs.tsv": "'eggs' is not among",
        "--train=jsonl:{h}/mixed.jsonl": "mixed.jsonl:2: not a JSON object",
        "--train=jsonl:{h}/no_label.jsonl": "no field 'label'",
        "--train=text:{h}/text.txt": "--train=text:.*: has no labels that are read; labelled texts are tsv:GLOB",
        "--train=tsv:{h}/mac.tsv": "carriage returns alone",
    },
    CLASSIFY: {
        "--methods=tfidff": "did you mean 'tfidf'",
        "--methods=": "--methods is empty",
        "--methods= --vectors=": "--vectors or --run is empty",
        "--methods= --vectors={h}/nan.txt": "line 2: vector of 'a': a NaN",
        "--methods= --run={h}/deep": "nested too deep",
        "--methods=lsa --config.model.dim=5000": "more than the 9 words of the vocabulary;",
        "--methods=lda --lda.model.topics=4000": "training texts with a known word; give --lda.model.topics=",
        "--lda.data.min_count=3": "--lda.data.min_count: would have no effect",
        "--config.data.source=tsv:x": "--config.data.source: would have no effect here, as --train is given",
        "--lda={c}/skipgram.py": "--lda: family word2vec",
        "--test_share=1": "above 0 and below 1",
        "--test_share=nan": "must be a finite number",
        "--test=tsv:{h}/outside.tsv": "outside.tsv:1: label 7 is outside",
        "--config.data.min_count=1000": "no word of .* occurs that often",
        "--workdir={h}/file": "file: is a file; choose a folder",
        "--workdir={h}/loop_a": "a link that leads to no folder",
    },
    TOPICS: {
        "--models=lsi": "did you mean 'lsa'",
        "--models=": "must be one of lsa, lda",
        "--config.model.dim=500": "must be at most 5, the words of the vocabulary",
        "--models=lda --config.model.dim=28": "the text has 27 documents .*choose fewer topics",
        "--lda.model.method=vbb": "did you mean 'vb'",
        "--lda.model.alpha=-1": "must be above 0 and finite",
        "--config={c}/skipgram.py": "family word2vec cannot be fitted here",
        "--config.data.source=text:{h}/empty.txt": "the file is empty",
        "--config.data.skip_top=99": "leaves no word",
        "--query=zebra": "holds no LSA; fit it first",
        "--top=0": "--top=0",
        "--workdir={h}/file": "file: is a file; choose a folder",
    },
    ENCODER: {f"--config.data.source=pairs:{{h}}/{name}": part for name, part in PAIRED.items()},
    COMPARE: {
        "--models=word3vec": "must be one of lsa, ppmi",
        "--models=": "--models is empty",
        "--seeds=0,0": "must be different whole numbers",
        "--models=svd,lsa --one=x/0": "must be a model and a seed",
        "--window=0": "window",
        "--min_count=1000": "no word occurs that often",
        "--tokens=x": "--tokens='x'",
        "--data_dir={h}/none": "none: no such folder; give one with similarity/",
        "--data_dir={h}/sim_empty": "no test file in it",
        "--data_dir={h}/sim_word": "line 1: 'high' is not a score",
        "--source=text:{h}/empty.txt": "the file is empty",
        "--source=tsv:{h}/good.tsv": "tsv: is for classifiers",
        "--workdir={h}/file": "file: is a file; choose a folder",
    },
}
