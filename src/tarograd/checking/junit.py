"""The reports of a file as JUnit XML, which build servers show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from tarograd.checking.report import GradientReport

FORBIDDEN = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def junit(file: str, found: Sequence[tuple[str, GradientReport | str]]) -> str:
    """One test case for each class: a wrong one failed, one that cannot be told was skipped.

    Args:
        file: what was checked.
        found: for each class its report, or why it was not checked.

    Example:
        >>> print(junit("layers.py", [("Relu", GradientReport("Relu"))]).splitlines()[1])
        <testsuites>
    """
    wrong = [isinstance(r, GradientReport) and r.verdict == "wrong" for _, r in found]
    skipped = [not isinstance(r, GradientReport) or r.verdict == "cannot tell" for _, r in found]
    seconds = [r.seconds if isinstance(r, GradientReport) else 0.0 for _, r in found]
    root = Xml.Element("testsuites")
    suite = Xml.SubElement(
        root,
        "testsuite",
        name="tarograd check",
        tests=str(len(found)),
        failures=str(sum(wrong)),
        errors="0",
        skipped=str(sum(skipped)),
        time=f"{sum(seconds):.3f}",
    )
    for (name, report), failed, left_out, time in zip(found, wrong, skipped, seconds, strict=True):
        case = Xml.SubElement(suite, "testcase", classname=file, name=name, time=f"{time:.3f}")
        if isinstance(report, str):
            Xml.SubElement(case, "skipped", message=_clean(f"not checked: {report}"))
        elif failed:
            message = ", ".join(f"{c.name} of {c.leaf}" for c in report.causes) or "wrong"
            failure = Xml.SubElement(case, "failure", type="wrong", message=_clean(message))
            failure.text = _clean(str(report))
        elif left_out:
            Xml.SubElement(case, "skipped", message="cannot tell").text = _clean(str(report))
        else:
            Xml.SubElement(case, "system-out").text = _clean(str(report))
    Xml.indent(root)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"
    )


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return FORBIDDEN.sub("?", text)
