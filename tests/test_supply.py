"""What the portal is made of (T21), and what its jobs may carry (T19)."""

import ast
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

import pytest
from django.core.signing import BadSignature
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from packaging.requirements import Requirement

from policies import bell

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(\[[a-z,]+\])?==\S+ \\$", re.MULTILINE)
COPYLEFT = re.compile(r"\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE)


def runtime(name: str = "imgshare") -> set[str]:
    """The names of all that runs with the portal: what pyproject.toml asks for, and what that asks for."""
    text = (ROOT / "pyproject.toml").read_text()
    asked = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE).group(1)
    todo, found = [Requirement(one) for one in re.findall(r'^\s*"([^"]+)"', asked, re.MULTILINE)], set()
    while todo:
        one = todo.pop()
        key = one.name.lower().replace("_", "-")
        if key in found:
            continue
        found.add(key)
        for line in requires(one.name) or ():
            deeper = Requirement(line)
            extras = [{"extra": extra} for extra in (one.extras or {""})]
            if deeper.marker is None or any(deeper.marker.evaluate(extra) for extra in extras):
                todo.append(deeper)
    return found


def test_every_package_is_pinned_by_its_hash():
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCK.strip())
    pinned = [block for block in blocks if PINNED.match(block)]

    assert len(pinned) > 40
    assert [block.split()[0] for block in blocks if block[0] != "#" and not PINNED.match(block)] == []
    assert [block.split()[0] for block in pinned if "--hash=sha256:" not in block] == []


def licences(name: str) -> list[str]:
    """What a package says of its own licence, without the texts."""
    said = distribution(name).metadata
    named = [said.get("License-Expression") or "", *said.get_all("Classifier", [])]
    return [text for text in named if "License" in text or (text and not text.count("::"))]


def test_nothing_that_runs_with_the_portal_demands_its_source():
    """LGPL is a library's own business; GPL and AGPL would be ours."""
    bound = {}
    for name in runtime():
        try:
            said = [text for text in licences(name) if COPYLEFT.search(text) and "Lesser" not in text]
        except PackageNotFoundError:  # for another system or Python
            continue
        bound |= {name: said} if any("LGPL" not in text for text in said) else {}

    assert bound == {}


def test_the_packages_fit_each_other():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_a_job_that_was_tampered_with_is_not_run(monkeypatch):
    """A job is a pickle: only what this portal's key has signed is ever opened."""
    good = SignedPackage.dumps({"func": "reconciliation.tasks.send"})
    middle = len(good) // 2
    bad = good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]

    assert SignedPackage.loads(good) == {"func": "reconciliation.tasks.send"}
    with pytest.raises(BadSignature):
        SignedPackage.loads(bad)
    monkeypatch.setattr(Conf, "SECRET_KEY", "another portal's key")
    with pytest.raises(BadSignature):
        SignedPackage.loads(good)


@pytest.mark.django_db(transaction=True)
def test_a_job_carries_a_key_and_nothing_else():
    bell.ring("reconciliation.tasks.send", "0c1f4e4e-0000-4000-8000-000000000000")
    [job] = [SignedPackage.loads(row.payload) for row in OrmQ.objects.all()]

    assert (job["func"], job["args"], job.get("kwargs", {})) == (
        "reconciliation.tasks.send",
        ("0c1f4e4e-0000-4000-8000-000000000000",),
        {},
    )


def test_every_ring_passes_one_key():
    """No name and no number of a patient waits in the table of jobs."""
    passed = []
    for path in [*ROOT.glob("reconciliation/*.py"), *ROOT.glob("orders/*.py"), *ROOT.glob("policies/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "bell.ring":
                passed.append(ast.unparse(node.args[1]))

    keys = re.compile(r"(^|\.)(pk|key|transaction_uid|\w+_id)$|^str\(|^''$|^'[a-z ]+'$|uuid")
    assert len(passed) > 5
    assert [one for one in passed if not keys.search(one)] == []
