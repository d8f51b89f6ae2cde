"""The house keeps its own rules: four rooms one way, pure folders pure, small pieces, no scripts in pages."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ["policies", "orders", "reconciliation", "imgshare_site"]  # each may import what stands before it
PURE = ["policies.rules", "orders.hl7", "orders.dicom", "orders.peers", "reconciliation.dicom"]
PURE_MAY_IMPORT = sys.stdlib_module_names | {"pydicom", "pynetdicom", "numpy", "PIL", "rapidfuzz", "hl7apy"}
RELATIONS = {"ForeignKey", "OneToOneField", "ManyToManyField"}
NEVER_IN_NAMES = {"util", "helper", "common", "base", "manager", "handler", "processor", "service", "misc"}
DEMANDED = {"imgshare_site.sqlite3.base"}  # Django looks for a database engine under this name
UNSAFE = {"mark_safe", "SafeString", "SafeText", "SafeData"}
LONGEST_MODULE, LONGEST_FUNCTION = 500, 60

MODULES = sorted(
    path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.relative_to(ROOT).parts
)
TEMPLATES = sorted(
    path for folder in [ROOT, *(ROOT / room for room in ROOMS)] for path in folder.glob("templates/**/*.*")
)

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
each_template = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(), str(path))))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> list[str]:
    """Every module that this one imports, in full: `from a import b` gives a.b, which may be a module or a name."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            found += [f"{source}.{alias.name}" for alias in node.names]
    return found


def is_in(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def related_models(path: Path) -> list[str]:
    """Models that are named by a text, "orders.Order", in a relation: an import that no import statement shows."""
    calls = [node for node in nodes(path) if isinstance(node, ast.Call)]
    targets = [
        [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg in {"to", "through"})]
        for call in calls
        if getattr(call.func, "attr", getattr(call.func, "id", "")) in RELATIONS
    ]
    return [node.value for found in targets for node in found if isinstance(node, ast.Constant)]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def words(name: str) -> set[str]:
    """`StudyManagers`, `study_managers` -> {"study", "manager"}."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return {part.lower() for part in parts} | {part.lower().removesuffix("s") for part in parts}


def test_all_four_rooms_are_looked_at():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ROOMS)


def test_every_folder_of_tests_is_a_package():
    """Two modules of one name in two folders would otherwise stop the whole run."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}

    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@each_module
def test_rooms_import_one_way(path):
    above = ROOMS[ROOMS.index(path.relative_to(ROOT).parts[0]) + 1 :]

    upward = [name for name in imports(path) + related_models(path) if any(is_in(name, room) for room in above)]

    assert upward == []


@each_module
def test_an_import_says_its_room_and_is_never_a_test(path):
    assert [name for name in imports(path) if name.startswith(".") or is_in(name, "tests")] == []


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if any(is_in(dotted(path), folder) for folder in PURE)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_pure_folders_know_only_bytes_protocols_and_decisions(path):
    foreign = [name for name in imports(path) if name.split(".")[0] not in PURE_MAY_IMPORT]

    assert [name for name in foreign if not any(is_in(name, folder) for folder in PURE)] == []


def test_pure_folders_load_no_django():
    """Not by a detour either: a package above them, or a library."""
    pure = [dotted(path) for path in MODULES if any(is_in(dotted(path), folder) for folder in PURE)]
    script = (
        f"import importlib, sys; [importlib.import_module(name) for name in {pure}]; sys.exit('django' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


CALLS_OUT = re.compile(
    r"\b(calling\.Peer|scu\.Peer|web\.Site|fhir\.Server|mllp\.Connection|create_connection|urlopen)\("
)


@each_module
def test_lines_out_are_opened_only_where_it_is_asked_whom_we_may_call(path):
    """A pure folder connects by what it is given; the demo and the bench call themselves."""
    is_free = path.relative_to(ROOT).parts[0] == "imgshare_site" or dotted(path).startswith(tuple(PURE))
    text = path.read_text()
    assert is_free or not CALLS_OUT.search(text) or "reachable.connect" in text


@each_module
def test_no_import_hides_in_a_function(path):
    hidden = [
        f"{function.name}:{node.lineno}"
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert hidden == []


@each_module
def test_no_module_is_too_long(path):
    length = len(path.read_text().splitlines())

    assert length <= LONGEST_MODULE


@each_module
def test_no_function_is_too_long(path):
    lengths = {function.name: function.end_lineno - function.lineno + 1 for function in functions(path)}

    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


@each_module
def test_no_name_says_nothing(path):
    defined = [node.name for node in nodes(path) if isinstance(node, ast.ClassDef)]
    module = [] if dotted(path) in DEMANDED else dotted(path).split(".")
    names = [*module, *defined, *(function.name for function in functions(path))]

    assert [name for name in names if words(name) & NEVER_IN_NAMES] == []


@each_module
def test_no_code_calls_text_safe(path):
    used = [getattr(node, "id", getattr(node, "attr", getattr(node, "name", ""))) for node in nodes(path)]

    assert UNSAFE.intersection(used) == set()


@each_template
def test_no_template_calls_text_safe(path):
    assert re.findall(r"\|\s*safe(?:seq)?\b|autoescape\s+off", path.read_text()) == []


@each_template
def test_no_template_carries_script_or_style(path):
    """The Content-Security-Policy would block them in the browser, silently."""
    text = re.sub(r"{#.*?#}|{% comment.*?endcomment %}", "", path.read_text(), flags=re.DOTALL)
    inline = {
        "script body": r"<script\b(?![^>]*application/json)[^>]*>\s*[^\s<]",
        "style body": r"<style\b",
        "event attribute": r"""[\s"']on[a-z]+\s*=\s*["'{\w]""",
        "htmx event attribute": r"\bhx-on\b|\bhx-vals\s*=\s*.js:",
        "style attribute": r"""[\s"']style\s*=""",
        "script address": r"javascript:",
    }

    assert {
        name: found for name, pattern in inline.items() if (found := re.findall(pattern, text, re.IGNORECASE))
    } == {}


@pytest.mark.parametrize(
    ("name", "found"),
    [("StudyManager", True), ("db_utils", True), ("HTTPHandlers", True), ("management", False), ("based", False)],
)
def test_a_name_is_judged_word_by_word(name, found):
    assert bool(words(name) & NEVER_IN_NAMES) == found
