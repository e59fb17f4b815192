"""Dependencies run one way, read from the source with `ast`; and importing a module does nothing but define names."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

Modules = Mapping[str, ast.Module]
Check = Callable[[Modules], list[str]]
ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = ("experiments", "configs", "launch", "benchmarks", "tests")

# Part of the package -> what else of ours it may import. `errors` and `config` compute nothing, so most may.
# A part that is missing here fails the test: whoever adds one says where it stands.
BASE = ("errors", "storage", "files", "config", "recorded", "tables", "types", "unpack")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "__init__": ("api",),
    "errors": (),
    "papers": ("errors", "tables"),
    "buckets": (),
    "storage": ("errors", "buckets"),
    "lease": ("errors", "storage"),
    "files": ("errors", "storage"),
    "exported": ("errors", "files", "storage"),
    "unpack": ("errors", "files", "storage"),
    "tables": ("errors", "files", "storage", "unpack"),
    "config": ("errors",),
    "recorded": ("errors", "files", "config", "overrides"),
    "overrides": ("errors",),
    "types": (),
    "family": ("types",),
    "memory": ("errors",),
    "formats": ("errors", "exported", "files", "storage"),
    "together": ("files", "storage"),
    "export": ("errors", "files", "formats", "storage", "together"),
    "asked": ("errors", "embeddings"),  # the latter for annotations only
    "keyed": ("asked", "errors", "embeddings"),  # the latter for annotations only
    "word_table": ("errors", "formats"),
    "embeddings": ("asked", "errors", "export", "exported", "files", "formats", "keyed", "word_table"),
    "averages": ("asked", "errors", "data", "embeddings"),
    "approximate": ("errors", "embeddings", "files"),
    "data": (*BASE, "lease"),
    "nn": BASE,
    "losses": (*BASE, "nn"),
    "models": (*BASE, "family", "data", "formats", "nn", "losses"),
    "train": (
        *BASE,
        "family",
        "exported",
        "lease",
        "memory",
        "data",
        "nn",
        "losses",
        "models",
        "embeddings",
        "export",
        "formats",
    ),
    "evaluation": ("errors", "files", "embeddings", "tables"),
    "states": (*BASE, "family", "data", "nn", "models", "train", "evaluation"),
    "context": (*BASE, "data", "evaluation", "train"),
    "senses": (*BASE, "embeddings", "train"),
    "elsewhere": (),
    "quick": (*BASE, "elsewhere", "embeddings", "models", "overrides", "train"),
    "doc_vectors": (*BASE, "asked", "embeddings", "export", "exported", "models", "overrides", "quick", "train"),
    "api": (
        *BASE,
        "asked",
        "context",
        "data",
        "doc_vectors",
        "embeddings",
        "evaluation",
        "models",
        "overrides",
        "quick",
        "train",
    ),
    "scaling": (*BASE, "models", "nn", "overrides", "papers", "train"),
    "figures": (
        "errors",
        "files",
        "storage",
        "config",
        "embeddings",
        "papers",
        "scaling",
    ),  # results and vectors; never train
}
# Third-party packages that only these modules may import.
ONLY_IN = {
    "orbax": ("w2v_jax.train.checkpoint", "w2v_jax.train.stored", "w2v_jax.train.world"),
    "gcsfs": ("w2v_jax.buckets",),
    "fsspec": ("w2v_jax.buckets",),
    "faiss": ("w2v_jax.approximate",),
}
# Calls that belong to a definition.
DECLARING = ("defvjp", "defjvp", "register_dataclass", "register_pytree_node")
# Heavy packages that must be imported inside functions, never at the top of a module.
NEVER_AT_TOP = ("tensorflow", "tensorflow_datasets", "matplotlib", "sklearn", "gensim", "faiss")


@pytest.fixture(scope="module")
def package() -> Modules:
    """Dotted name -> tree of every module of the package."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"), str(path))
        for path in sorted((ROOT / "w2v_jax").rglob("*.py"))
    }


def part_of(name: str) -> str:
    """`data` for w2v_jax.data.corpus, `losses` for w2v_jax.losses, `__init__` for w2v_jax itself."""
    return name.split(".")[1] if "." in name else "__init__"


def imported(module: str, node: ast.AST) -> list[str]:
    """Absolute names that an import statement reaches for."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parent = module.split(".")[: -node.level]
            base = ".".join([*parent, base] if base else parent)
        # `from w2v_jax import losses` names the part in the list, `from w2v_jax.losses import x` before it.
        return [f"{base}.{alias.name}" for alias in node.names] if base == "w2v_jax" else [base]
    return []


def at_top(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that run on import: everything but the bodies of functions and of `if TYPE_CHECKING`."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        yield node
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not checking and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))


def wrong_direction(modules: Modules) -> list[str]:
    """Imports against the table, one line each."""
    found = []
    for module, tree in modules.items():
        mine = part_of(module)
        if mine not in MAY_IMPORT:
            found.append(f"{module}: {mine} has no place in MAY_IMPORT")
            continue
        for name in (n for node in ast.walk(tree) for n in imported(module, node)):
            top = name.split(".")[0]
            if top in OUTSIDE:
                found.append(f"{module} imports {name}: the package knows nothing of its commands")
            elif top == "w2v_jax" and part_of(name) not in (mine, "__version__", *MAY_IMPORT[mine]):
                found.append(f"{module} imports {name}")
            elif top in ONLY_IN and module not in ONLY_IN[top]:
                found.append(f"{module} imports {name}: only {', '.join(ONLY_IN[top])} may")
    return found


def side_effects(modules: Modules) -> list[str]:
    """Heavy imports and bare calls at the top of a module, one line each."""
    found = []
    for module, tree in modules.items():
        for node in at_top(tree):
            found += [
                f"{module} imports {n} at its top" for n in imported(module, node) if n.split(".")[0] in NEVER_AT_TOP
            ]
        found += [
            f"{module}: line {node.lineno} calls something on import"
            for node in tree.body
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            if getattr(node.value.func, "attr", "") not in DECLARING
        ]
    return found


def test_dependencies_run_one_way(package: Modules) -> None:
    assert wrong_direction(package) == []


def test_no_module_does_anything_on_import(package: Modules) -> None:
    assert side_effects(package) == []


@pytest.mark.parametrize(
    ("where", "line", "check"),
    [
        ("types.py", "import w2v_jax.losses", wrong_direction),
        ("data/planted.py", "from w2v_jax.models import MODELS", wrong_direction),
        ("data/planted.py", "from ..train import step", wrong_direction),
        ("nn/planted.py", "from w2v_jax import train", wrong_direction),
        ("losses.py", "from w2v_jax.models import MODELS", wrong_direction),
        ("models/planted.py", "def f():\n    from w2v_jax.train.step import make_call", wrong_direction),
        ("evaluation/planted.py", "from w2v_jax.config import Config", wrong_direction),
        ("figures/planted.py", "import w2v_jax.train.step", wrong_direction),
        ("train/planted.py", "from orbax import checkpoint", wrong_direction),
        ("train/planted.py", "from experiments import cli", wrong_direction),
        ("new_part.py", "x = 1", wrong_direction),
        ("data/planted.py", "try:\n    import tensorflow as tf\nexcept ImportError:\n    tf = None", side_effects),
        ("figures/planted.py", "import matplotlib.pyplot as plt", side_effects),
        ("train/planted.py", "import jax\njax.devices()", side_effects),
    ],
)
def test_a_planted_violation_is_found(where: str, line: str, check: Check) -> None:
    path = ROOT / "w2v_jax" / where
    source = path.read_text(encoding="utf-8") if path.exists() else ""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    found = check({name: ast.parse(f"{source}\n{line}\n")})
    assert len(found) == 1 and path.stem in found[0]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import w2v_jax", ("jax", "tensorflow", "numpy")),
        ("import w2v_jax.embeddings, w2v_jax.evaluation", ("jax", "tensorflow", "matplotlib", "sklearn")),
        ("import w2v_jax.data.corpus, w2v_jax.models", ("tensorflow", "tensorflow_datasets", "matplotlib")),
        (
            "import experiments.common.cli, launch.local, launch.tpu, launch.fake.play, launch.distributed",
            ("jax", "tensorflow", "matplotlib"),
        ),
        ("import w2v_jax.figures, w2v_jax.train.step", ("tensorflow", "matplotlib")),
        ("import w2v_jax.scaling.run_table, w2v_jax.figures.scaling", ("jax", "tensorflow", "matplotlib")),
    ],
)
def test_what_an_import_does_not_load(statement: str, absent: tuple[str, ...]) -> None:
    code = (
        f"{statement}\nimport sys\n"
        f"loaded = [m for m in {absent!r} if m in sys.modules]\n"
        "bridge = sys.modules.get('jax._src.xla_bridge')\n"
        "print(loaded, bool(bridge and bridge.backends_are_initialized()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[] False", done.stderr
