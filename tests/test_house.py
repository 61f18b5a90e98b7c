"""The form of the house: what stands where, and what an import loads."""

import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LONGEST

ROOT = Path(__file__).parent.parent
ROOMS = ("tools", "storage", "db", "gpu_handlers", "tasks", "api", "embedded")

#: Lines of the longest Python file.
WALL = 300

#: Hosts of package registries, and folders of somebody's machine. In pieces, as this file is tracked too.
FORBIDDEN = re.compile("|".join(["pypi" + r"\.", "python" + r"hosted\.", "/wor" + "k/", "/hom" + "e/", "/roo" + "t/"]))

#: Modules that need torch, which only who trains installs.
TORCH = ("gpu_handlers.train.gpu", "gpu_handlers.train.lora.")

MARK = re.compile(
    r"(?:ruff: )?noqa(?:: *[A-Z]+\d+(?:, *[A-Z]+\d+)*)?|type: ignore(?:\[[\w, -]+\])?|pragma: no (?:cover|branch)"
)


def tracked() -> list[Path]:
    """List the files that belong to the project, also where somebody else owns the checkout."""
    told = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in told.split("\0") if name and (ROOT / name).is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def called(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_python_file_stands_behind_the_wall() -> None:
    long = {called(path) for path in python_files() if len(path.read_text().splitlines()) > WALL}
    assert not {name for name in long if not name.startswith("db/migrations/versions/")}


def test_every_init_is_empty_but_the_door_of_tasks() -> None:
    full = [called(path) for path in python_files() if path.name == "__init__.py" and path.read_text().strip()]
    assert full == ["tasks/__init__.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_a_short_law(room: str) -> None:
    law = (ROOT / room / "README.md").read_text().splitlines()
    assert law[0].startswith(f"# {room}")
    assert 2 <= len(law) <= 12


def test_every_module_says_what_it_is_for() -> None:
    mute = [path for path in python_files() if path.read_text().strip() and not path.read_text().startswith('"""')]
    assert [called(path) for path in mute if path.parent.name != "versions"] == []


def test_no_file_names_a_registry_or_a_machine() -> None:
    found = [
        f"{called(path)}:{number}: {line}"
        for path in tracked()
        if b"\0" not in path.read_bytes()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


def test_the_licence_is_mit() -> None:
    text = " ".join((ROOT / "LICENSE").read_text().split())
    assert text.startswith("MIT License Copyright")
    assert "Permission is hereby granted, free of charge" in text
    assert 'license = "MIT"' in (ROOT / "pyproject.toml").read_text()


def test_every_exception_to_a_rule_has_its_reason() -> None:
    bare = [
        f"{called(path)}:{number}: {text}"
        for path in python_files()
        for number, text in comments(path)
        if is_bare(text)
    ]
    assert bare == []


def test_every_test_that_is_left_out_has_its_reason() -> None:
    left_out = re.compile(r"mark\.(?:skip|skipif|xfail)\b")
    bare = [
        f"{called(path)}:{number}: {line}"
        for path in python_files()
        if path.parts[len(ROOT.parts)] == "tests" and path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if left_out.search(line) and "reason=" not in line
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("comment", "bare"),
    [
        ("# noqa: S603", True),
        ("# noqa", True),
        ("# type: ignore[misc]", True),
        ("# type: ignore[misc]  # noqa: S603", True),
        ("# pragma: no cover", True),
        ("# ruff: noqa: PLC0415", True),
        ("# noqa: S603 - the command is ours", False),
        ("# type: ignore[misc]  # no stubs", False),
        ("# type: ignore[misc]  # noqa: S603  # both are ours", False),
        ("# pragma: no cover - only on Windows", False),
        ("# the skipper", False),
    ],
)
def test_a_bare_exception_is_seen(comment: str, *, bare: bool) -> None:
    assert is_bare(comment) is bare


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Give the comments of a file, by line: a text that only speaks of `noqa` is none."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def is_bare(comment: str) -> bool:
    """Tell whether a comment switches a rule off and does not say why."""
    pieces = [piece.strip() for piece in comment.split("#") if piece.strip()]
    marks = [MARK.match(piece) for piece in pieces]
    return any(
        mark and not piece[mark.end() :].strip(" -") and all(marks[place + 1 :])
        for place, (piece, mark) in enumerate(zip(pieces, marks, strict=True))
    )


def run(code: str, **env: str) -> str:
    """Run a program in a Python of its own, where no connection can be opened; give what it printed."""
    guard = (
        "import sys\n"
        "def refuse(event, args):\n"
        "    assert event not in ('socket.connect', 'socket.bind', 'subprocess.Popen', 'os.fork'), event\n"
        "sys.addaudithook(refuse)\n"
        "before = set(sys.modules)\n"
    )
    # What is no URL would be refused by the settings, if anybody read them.
    env = {"PATH": "", "DATABASE_URL": "nonsense", **env}
    command = [sys.executable, "-c", guard + code]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(statement: str) -> set[str]:
    """Name the packages that a statement loads, beside those of Python itself."""
    told = run(f"{statement}\nprint(*{{name.split('.')[0] for name in set(sys.modules) - before}})").split()
    return {name for name in told if name not in sys.stdlib_module_names and not name.startswith("_")}


def test_the_api_loads_nothing_of_the_far_side() -> None:
    loaded = loaded_by("import api.app")
    assert {"api", "tasks", "db", "flask"} <= loaded
    far = {"torch", "runpod", "cv2", "av", "numpy", "boto3", "requests", "httpx", "aiohttp", "gpu_handlers", "flower"}
    assert loaded.isdisjoint(far)


@pytest.mark.parametrize("program", ["tasks.run, tasks.handle, tasks.strangers", "tasks.watch, embedded.cli"])
def test_workers_and_watcher_speak_to_runpod_without_its_library(program: str) -> None:
    loaded = loaded_by(f"import {program}")
    assert {"tasks", "db", "celery", "aiohttp"} <= loaded
    assert loaded.isdisjoint({"torch", "runpod", "httpx", "cv2", "av", "numpy", "flask", "gpu_handlers"})


def test_only_who_develops_installs_runpods_library() -> None:
    def names(lock: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE))

    assert {"aiohttp", "httpx"} <= names("requirements.lock")
    assert names("requirements.lock").isdisjoint({"runpod", "torch", "fastapi"})
    assert "runpod" in names("requirements-dev.lock")


@pytest.mark.parametrize("lock", sorted(path.name for path in ROOT.glob("requirements*.lock")))
def test_each_lock_has_what_the_project_cannot_do_without(lock: str) -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = {re.split(r"[\[><=]", need)[0] for need in needs}
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
    assert wanted - locked == set(), "say make lock"


def test_the_locks_of_training_have_the_pytorch_that_is_theirs() -> None:
    tests, image = ((ROOT / f"requirements-train{which}.lock").read_text() for which in ("", "-gpu"))
    assert "torch==2.13.0+cpu " in tests
    assert "nvidia" not in tests
    assert "torch==2.13.0 " in image
    assert "nvidia-cudnn" in image


def test_the_gpu_engine_needs_no_gpu_itself() -> None:
    engines = [f"gpu_handlers.{path.parent.name}.gpu" for path in (ROOT / "gpu_handlers").glob("*/gpu.py")]
    loaded = loaded_by(f"import {', '.join(name for name in engines if not name.startswith(TORCH))}")
    assert {"gpu_handlers", "httpx", "websockets"} <= loaded
    assert loaded.isdisjoint({"flask", "celery", "sqlalchemy", "db", "tasks", "api", "torch", "runpod", "av"})


def test_a_handlers_entry_knows_neither_the_web_nor_celery_nor_sql() -> None:
    previews = [f"gpu_handlers.{path.parent.name}.preview" for path in (ROOT / "gpu_handlers").glob("*/preview.py")]
    loaded = loaded_by(f"import gpu_handlers.entry, {', '.join(previews)}")
    assert {"gpu_handlers", "storage", "tools", "cv2"} <= loaded
    assert loaded.isdisjoint({"flask", "celery", "kombu", "sqlalchemy", "psycopg2", "redis", "db", "tasks", "api"})


def test_the_entry_itself_loads_no_engine_and_not_even_runpods_library() -> None:
    assert loaded_by("import gpu_handlers.entry").isdisjoint({"cv2", "av", "numpy", "torch", "safetensors", "runpod"})


def test_the_contracts_load_pydantic_and_nothing_else() -> None:
    pydantic = {"pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
    assert loaded_by("import tools.catalog, tools.binding, tools.outcome") == {"tools", *pydantic}


def test_a_task_is_imported_by_its_name_without_a_line_for_it() -> None:
    told = run("from tasks import mask, video\nimport tasks\nprint(hasattr(tasks, 'sculpt'), callable(mask.s))",
               DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", PATH="")  # fmt: skip
    assert told.split() == ["False", "True"]


def test_to_import_a_task_reads_no_settings() -> None:
    told = run("from tasks import mask\nfrom settings import settings\nprint(settings.cache_info().currsize)")
    assert told.strip() == "0"


#: Modules that somebody runs rather than imports.
RUN = ("db.migrations", "tests")


def test_nothing_happens_on_import() -> None:
    modules = [called(path)[:-3].replace("/", ".").removesuffix(".__init__") for path in python_files()
               if path.parts[len(ROOT.parts)] in ROOMS and path.name != "__main__.py"]  # fmt: skip
    quiet = [name for name in modules if not name.startswith((*RUN, *TORCH))]
    told = run(
        "import importlib, threading\n"
        f"for name in {quiet!r}: importlib.import_module(name)\n"
        "from settings import settings\n"
        "print(settings.cache_info().currsize, threading.active_count())"
    )
    assert told.split() == ["0", "1"]


def test_the_files_that_are_said_to_take_longest_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).exists()] == []
