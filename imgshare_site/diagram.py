"""The life of a study as a Mermaid diagram, drawn from the table of moves."""

from reconciliation.workflow import MOVES


def states() -> str:
    """A `stateDiagram-v2`; each arrow names its verb and who may take it."""
    lines = ["stateDiagram-v2", "    direction LR", "    [*] --> receiving"]
    for verb, step in MOVES.items():
        who = step.power.value if step.power else "the portal"
        lines += [f"    {origin} --> {step.to}: {verb} ({who})" for origin in sorted(step.origins)]
    return "\n".join(lines)
