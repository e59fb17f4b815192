"""Bad command lines of every command, for `tests/bad_inputs.py`."""

from __future__ import annotations

TRAIN = (
    "experiments.train --config={c}/skipgram.py --workdir={h}/out --config.data.source=text:{h}/text.txt "
    "--config.data.min_count=2 --config.model.dim=8 --config.model.segment=32 --config.train.batch_size=128 "
    "--config.mesh.data=1 --config.log.tensorboard=False "
)
LANGUAGE = "experiments.train --config={c}/language.py --workdir={h}/out --config.mesh.data=1 "
TRANSFORMER = "experiments.train --config={c}/transformer.py --workdir={h}/out --config.mesh.data=1 "
SENTIMENT = "experiments.sentiment --workdir={h}/out --models=average --config.model.hidden=4 "
LABELLED = SENTIMENT + "--vectors={h}/vec/vectors.bin --test=tsv:{h}/good.tsv "
NEAR = "experiments.neighbours --vectors={h}/vec/vectors.bin "
EVALUATE = "experiments.evaluate --vectors={h}/vec/vectors.bin --json={h}/out.json "
GENERATE = "experiments.generate --workdir={h}/lm "
INSPECT = "experiments.inspect --workdir={h}/lm --out={h}/out "
MAPS = "experiments.senses --workdir={h}/lm --out={h}/out "
STUDY = "experiments.scaling --config={c}/scaling/synthetic.py --workdir={h}/out "
FIGURES = "experiments.figures --out={h}/out.png "
THROUGHPUT = "experiments.throughput --out={h}/out "
GRADIENTS = "experiments.gradients --workdir={h}/out "
SENSES = "experiments.word_sense --workdir={h}/out --workdirs={h}/lm "
TPU = "launch.tpu --state_dir={h}/out --zone=us-west4-a --accelerator=v5litepod-16 "
OTHERS = {
    LANGUAGE: {
        "--config.model.layers=100000000000": "must be at most 1000",
        "--config.model.length=100000000000": "model.length=100000000000: would need at least",
        "--config.train.steps_per_call=100000000000": "train.steps_per_call=100000000000: would need",
        "--config.model.hidden=99999999999 --config.model.dim=99999999999": "model.(dim|hidden)=9+: would need",
        "--config.model.cell=lstmm": "did you mean 'lstm'",
        "--config.data.source=tsv:{h}/good.tsv": "tsv: is for classifiers",
    },
    TRANSFORMER: {
        "--config.model.layers=1000 --config.model.dim=400000": "would need at least",
        "--config.train.batch_size=100000000000": "train.batch_size=100000000000: would need",
        "--config.model.heads=3": "does not divide model.dim",
    },
    TRAIN: {
        "--workdri=x": "did you mean 'workdir'",
        "stray": "unexpected argument 'stray'",
        "--profile_steps=9": "--profile_steps=9",
        "--profile_steps=9,3": "--profile_steps=9,3",
        "--workdir=": "--workdir is missing",
        "--compile_cache=maybe": "compile_cache",
        "--workdir={h}/file": "is a file; choose a folder",
        "--workdir={h}/file/run": "file/run",
        "--workdir={h}/{bad}": "bytes that are not UTF-8",
        "--workdir={h}/loop_a": "loop_a",
        "--workdir=s3://bucket/run": "only gs:// is read and written",
        "--config.data.source=text:{h}/{bad}.txt": "no such file or folder",
        "--config.data.cache_dir={h}/file": "file",
        "--config.data.cache_dir={h}/loop_a": "loop_a",
    },
    "experiments.train": {"": "--config is missing", "--config={c}/skipgram.py": "--workdir is missing"},
    "experiments.demo": {"--demo_config={h}/none.py": "get_config", "--passes=nan": "must be a finite number"},
    MAPS: {
        "": "--words is missing",
        "--words=dog --text=text:{h}/text.txt --least=1000": "too few occurrences: dog: occurs 0 times",
        "--words=dog --text=": "--text is empty",
        "--words=dog --text=text:{h}/none.txt": "no such file or folder",
        "--words=dog --sentence=cat": "--sentence='cat': has none of the words dog",
        "--words=dog --method=kmean": "did you mean 'kmeans'",
        "--words=dog --hide_target": "hide_target: is for masked models",
        "--words=dog --layer=9": "layer 9: must be from -2 to 1",
        "--words=dog --clusters=9": "--clusters=9",
        "--words=dog --out={h}/file": "--out=.*file: is a file; choose a folder",
        "--words=dog --workdir={h}/none": "holds no run",
        "--planted": "--planted: the run's text is data.source=pydocs; it must be synthetic",
        "--planted --words=dog": "leave --words, --sentence and --text out",
    },
    NEAR: {
        "": "no word given",
        "dgo": "word 'dgo' is not among the 16 words",
        "{bad}": "bytes that are not UTF-8",
        "dog --topn=0": "--topn=0",
        "dog --restrict=-5": "--restrict=-5",
        "dog --limit=-1": "limit=-1",
        "--analogy dog good": "three words, 2 given",
        "--odd dog good": "three different words",
        "--odd --analogy dog good won": "not both",
        "dog --metric=cosin": "metric",
        "dog --workdir={h}/vec": "give either --vectors=FILE or --workdir=DIR",
    },
    EVALUATE: {
        "--data_dir={h}/none": "no such folder",
        "--data_dir={h}/sim_empty": "no test file in it",
        "--data_dir={h}/sim_nan": "line 1: 'nan' is not a score",
        "--data_dir={h}/sim_inf": "line 1: 'inf' is not a score",
        "--data_dir={h}/sim_word": "line 1: 'high' is not a score",
        "--data_dir={h}/sim_two": "line 1: must be 3 fields",
        "--stride=4": "is for the run folder of a language model",
        "--text=text:x": "is for the run folder of a language model",
        "--restrict=-5": "--restrict=-5",
    },
    "experiments.evaluate": {
        "": "give either --vectors=FILE or --workdir=DIR",
        "--workdir={h}/lm --text=": "--text is empty",
        "--workdir={h}/gpt --stride=99": "must be from 1 to model.length=16",
        "--workdir={h}/lm --stride=4": "carries its state",
        "--workdir={h}/none": "no such folder",
    },
    GENERATE: {
        "--samples=1000000000000": "--samples=1000000000000: would need at least",
        "--tokens=100000000000000": "--tokens=100000000000000: would need at least",
        "--samples=0": "must be at least 1",
        "--temperature=nan": "must be a finite number",
        "--temperature=-1": "temperature",
        "--top_p=2": "top_p",
        "--top_k=-1": "top_k",
        "--seed=-1": "--seed",
        "--greedy --samples=3": "greedy texts are all the same",
        "--prompt={bad}": "bytes that are not UTF-8",
        "--workdir={h}/gpt --prompt=dog" + "\\ dog" * 40: "the context of the model is 16",
        "--workdir={h}/none": "none",
    },
    INSPECT: {
        "--text={bad}": "bytes that are not UTF-8",
        "--text=": "--text is empty",
        "--text=dog": "needs two words",
        "--text='the big dog ran' --from=zebra": "no such word",
        "--layer=1": "are for transformers",
        "--windows=5": "--windows: is for --layers",
        "--layers --windows=1": "must be 2 or more",
        "--workdir=": "--workdir is missing",
    },
    "experiments.word_sense --workdir={h}/out": {
        "": "--workdirs is missing",
        "--workdirs={h}/lm,x/lm": "the name 'lm' is given twice; write NAME=DIR",
    },
    SENSES: {
        "": "nothing to score: give --wic=FOLDER, or --train=FILE and --test=FILE",
        "--train={h}/senses.tsv": "--test is missing: give both files",
        "--train={h}/senses.tsv --test={h}/senses.tsv --final": "--final: is for --wic",
        "--train={h}/senses.tsv --test={h}/none.tsv": "none.tsv: no such file",
        "--train={h}/sense_out.tsv --test={h}/senses.tsv": "sense_out.tsv:1: index 2 is outside the text",
        "--train={h}/sense_word.tsv --test={h}/senses.tsv": "index 1 is 'dog', not the word 'w1': it is at 0",
        "--train={h}/sense_one.tsv --test={h}/senses.tsv": "word 'w1': has one sense only in the training file, 'a'",
        "--train={h}/sense_forms.tsv --test={h}/senses.tsv": "sense_forms.tsv:2: 'W1' is 'w1' in another form",
        "--train={h}/sense_short.tsv --test={h}/senses.tsv": "3 fields; a line must be 4 fields separated by tabs",
        "--train={h}/empty.txt --test={h}/senses.tsv": "empty.txt: the file is empty",
        "--train={h}/mac.tsv --test={h}/senses.tsv": "carriage returns alone",
        "--wic={h}/none": "none/train.tsv: no such file",
        "--wic={h}/none --pool=max": "--pool='max': must be one of mean, first, last",
        "--train={h}/senses.tsv --test={h}/senses.tsv --join=lm+x": "'x' must be one of lm, lm, word vectors",
    },
    SENTIMENT: {
        "": "--vectors is missing",
        "--text=": "--text is empty",
        "--text=good": "holds no trained classifier",
        "--models=avrage": "did you mean 'average'",
        "--max_length=0": "max_length",
    },
    STUDY: {
        "--plan --config.tokens=(nan,)": "must be",
        "--plan --config.window=99999999999999999999": "between -2..63 and 2..63",
        "--plan --config.data.source=lorem": "text:GLOB",
        "--plan --rate=nan": "must be a finite number",
        "--plan --rate=inf": "must be a finite number",
        "--plan --rate=-1": "rate",
        "--plan --device=v9:4": "--device=v9:4",
        "--shard=2/2": "must be i/n",
        "--drop_fewest_tokens_per_parameter=5": "is for --fit",
        "--config={c}/skipgram.py": "other|study|config",
    },
    FIGURES: {
        "": "no figure named",
        "nudge": "did you mean 'nudges'",
        "nudges --learning_rate=inf": "must be a finite number",
        "nudges --updates=100000000000": "from 1 to 1000000",
        "nudges --learning_rate=1e30 --updates=9": "--learning_rate=1e.30: the vectors leave all bounds",
        "nudges --words=a": "means nothing to the figure nudges",
        "map --vectors={h}/vec/vectors.bin --groups={h}/deep.json": "deep.json: not JSON .nested too deep.",
        "map --vectors={h}/vec/vectors.bin --groups={h}/words.json": "must hold",
        "map --vectors={h}/vec/vectors.bin --words=dog,cat,zebra": "zebra|cat",
        "convergence --workdir={h}/none": "no such file",
        "convergence --workdir={h}/deep_rows": "metrics.jsonl: line 1: not an object",
        "optimum --workdir={h}/deep_scores": "evaluation.json: not a JSON object .nested too deep.",
        "wiki_map --results={h}/deep_record": "wiki_map.json: not JSON .nested too deep.",
        "wiki_mapp": "did you mean 'wiki_map'",
        "map --vectors={h}/vec/vectors.bin --top=2": "top=2",
    },
    THROUGHPUT: {
        "--dim=99999999999": "heads",
        "--layers=99999999999": "must be at most 1000",
        "--vocab=9999999999999": "would need at least 160 TB of memory",
        "--lengths=99999999999999": "would need at least",
        "--batch=99999999999999": "must be at most",
        "--lengths=3,2": "rising numbers",
        "--seconds=0": "must be above 0",
        "--dtype=int8": "must be one of float32, bfloat16",
    },
    GRADIENTS: {
        "--tokens=9999999999999999": "data.synthetic.tokens=9999999999999999: must be at most",
        "--windows=99999999999999": "--windows=9+: would need at least",
        "--cells=x": "must be one of elementwise",
        "--passes=-1": "must be above 0",
        "--seed=-1": "from 0 to",
    },
    "experiments.keys_values --workdir={h}/out": {
        "--seconds=nan": "must be a finite number",
        "--seeds=0,0": "must be different whole numbers",
        "--config={c}/skipgram.py": "is no causal transformer",
    },
    LABELLED + "--train=tsv:{h}/labelled.tsv ": {
        "--config.data.labels=sst2": "--config.data.labels: would have no effect here, as --labels names them",
        "--transformer.model.dim=9": "--transformer.model.dim: would have no effect",
        "--transformer.data.source=tsv:x": "--transformer.data.source: would have no effect",
    },
    "experiments.keys_values --workdir={h}/out --config={c}/transformer.py": {
        "--config.train.seed=3": "--config.train.seed: would have no effect here, as --seeds names them",
    },
    "experiments.ledger": {
        "--config={c}/skipgram.py": "is no transformer",
        "--config={c}/transformer.py --config.data.max_vocab=0": "--vocab is missing",
        "--config={c}/transformer.py --vocab=-1": "vocab",
    },
    "launch.local": {
        "--processes=2": "no command",
        "--processes=0 -- true": "processes",
        "-- {h}/none": "cannot be started",
    },
    "launch.preflight": {"": "--config is missing", "--config={c}/skipgram.py --timeout=0": "timeout"},
    TPU: {
        "": "no verb",
        "run a": "no command",
        "run A -- true": "small letters",
        "up a --zone=x": "must be a zone",
        "up a --valid_for=6": "must be a duration",
        "run a -- train --workdir=gs://B": "is no name of a bucket",
        "status a": "no machine 'a'",
        "up a --prices={h}/none": "no such file",
    },
    "launch.fake": {"": "no folder", "{h}/vec end": "holds no fake cloud"},
    "benchmarks.mfu": {"--accumulate=3": "does not divide --batch=32", "--peak_tflops=0": "must be above 0"},
    "benchmarks.scaling_coverage": {"--laws=x": "'x' is none of"},
    "benchmarks.word2vec": {"": "--text is missing", "--text={h}/text.txt --only=x": "must be one of"},
    "benchmarks.classify": {
        "": "--ours and --out are needed",
        "--ours={h}/none --out={h}/out.json": "holds no results",
    },
    "benchmarks.budget": {"--text={h}/none": "no such file"},
    "benchmarks.faults": {"--count=0": "count"},
    "benchmarks.lstm": {"--steps=25": "must be a multiple of"},
    "benchmarks.transformer": {"--steps=25": "must be a multiple of"},
}
