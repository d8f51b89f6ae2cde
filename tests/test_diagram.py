from pathlib import Path

from imgshare_site import diagram


def test_the_diagram_in_the_docs_is_the_table():
    assert diagram.states() in (Path(__file__).parents[1] / "docs" / "workflow.md").read_text()
