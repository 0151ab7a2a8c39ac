"""What is shipped: the wheel holds all that a run needs, and the requirement lists agree with the code."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*arguments: str | Path, **options) -> str:
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments: str | Path) -> str:
    return run("-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def files_under(folder: str) -> set[str]:
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(package): version for package, version in pairs}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--target", folder, wheel)
    return folder


def test_the_wheel_holds_the_whole_package_and_its_configuration(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == files_under("synth") | {f"synth/{path}" for path in files_under("conf")}


def test_the_wheel_holds_prompts_and_weights(wheel):
    held = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    assert any(path.suffix == ".jinja" and path.parent.name == "prompts" for path in held)
    assert any(path.match("synth/demo_model/weights/*.safetensors") for path in held)


def test_the_source_archive_builds_the_same_wheel(wheel, tmp_path):
    run("-m", "hatchling", "build", "--target", "sdist", "--directory", tmp_path, cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, archive)
    (rebuilt,) = tmp_path.glob("*.whl")
    assert zipfile.ZipFile(rebuilt).namelist() == zipfile.ZipFile(wheel).namelist()


def test_an_installed_synth_finds_its_own_configuration_from_any_folder(installed, tmp_path):
    outside = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(installed)}}
    where = run("-c", "from synth.configuration.config_groups import CONF_DIR; print(CONF_DIR)", **outside)
    assert Path(where.strip()) == installed / "synth" / "conf"
    shown = run("-m", "synth.run", "--cfg", "job", "+strategy=magpie", **outside)
    assert re.search(r"^num_records: \d+$", shown, re.MULTILINE)
    assert re.search(r"^strategy:\n  name: magpie$", shown, re.MULTILINE)


def test_every_import_is_a_declared_dependency():
    extras = PROJECT["optional-dependencies"]
    of_extras = [line for name in ("cpu", "gpu", "semantic", "documents", "math", "wandb") for line in extras[name]]
    requirements = PROJECT["dependencies"] + of_extras
    declared = {canonicalize_name(Requirement(line).name) for line in requirements}
    declared.add("torch")  # comes with vLLM, in the one version that fits it
    declared.add("mlflow")  # of mlflow-skinny, in the extra of its name
    owners = importlib.metadata.packages_distributions()
    undeclared = {
        f"{path}: {module}"
        for path in sorted(files_under("synth"))
        if path.endswith(".py")
        for module in imported_modules(ROOT / path) - set(sys.stdlib_module_names) - {"synth"}
        if declared.isdisjoint(canonicalize_name(owner) for owner in owners.get(module, [module]))
    }
    assert not undeclared


def test_a_benchmark_imports_nothing_of_synth_that_is_gone():
    for path in [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "benchmarks" / "peers").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("synth", "tests"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    there = hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")
                    assert there, f"{path}: {node.module} has no {alias.name}"


def imported_modules(path: Path) -> set[str]:
    """The top-level names of all absolute imports, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(("extra", "lists"), [("cpu", ["cpu.txt"]), ("dev", ["cpu.txt", "dev.txt"])])
def test_the_pinned_lists_satisfy_every_declared_dependency(extra, lists):
    pinned = {name: version for name_of_list in lists for name, version in pins(name_of_list).items()}
    for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"][extra]:
        wanted = Requirement(line)
        assert pinned.get(canonicalize_name(wanted.name), "none") in wanted.specifier, line


def test_the_pinned_list_of_the_documentation_satisfies_its_extra():
    pinned = pins("docs.txt")
    for line in PROJECT["optional-dependencies"]["docs"]:
        wanted = Requirement(line)
        assert pinned.get(canonicalize_name(wanted.name), "none") in wanted.specifier, line


def test_make_help_has_each_target_and_no_other():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"make ([a-z-]+)", shown)) == targets
    assert {target for target in targets if not re.search(rf"^{target}:", text, re.MULTILINE)} == set()


def test_the_version_is_the_same_wherever_it_stands():
    cited = re.search(r"^version: (.*)$", (ROOT / ".github" / "CITATION.cff").read_text(), re.MULTILINE)[1]
    latest = re.search(r"^## (\S+)", (ROOT / "docs" / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert PROJECT["version"] == cited == latest


def steps_of_the_release() -> dict[str, str]:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    return {step["name"]: step["run"] for step in jobs["release"]["steps"] if "run" in step}


@pytest.mark.parametrize(("tag", "passes"), [(f"v{PROJECT['version']}", True), ("v99.0.0", False)])
def test_a_release_takes_the_tag_of_its_version_and_no_other(tag, passes):
    env = os.environ | {"GITHUB_REF_NAME": tag, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = ["bash", "-e", "-c", steps_of_the_release()["The tag is the version"]]
    assert (subprocess.run(script, cwd=ROOT, env=env).returncode == 0) is passes


def test_a_releases_notes_are_the_first_part_of_the_changelog(tmp_path):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    subprocess.run(["bash", "-e", "-c", steps_of_the_release()["Notes"]], cwd=tmp_path, check=True)
    notes = (tmp_path / "dist" / "notes.md").read_text()
    assert "\n- " in notes and "\n## " not in notes
    assert notes in (ROOT / "docs" / "CHANGELOG.md").read_text()


def test_pre_commit_checks_what_make_does():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    rules = (ROOT / "Makefile").read_text()
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format", "mypy"]
    for hook in hooks:
        assert f"\t@{hook['entry']}\n" in rules
