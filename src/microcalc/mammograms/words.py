"""Words for the steps to the probability of a finding: the same on pages, in tables, DICOM reports and the viewer."""

from microcalc.mammograms.findings import Finding

WORDS = {
    "votes": "probability by each expert of the committee, of the best window of the finding",
    "committee": "the votes, weighted and calibrated",
    "second opinion": "how far the committee's log odds are lowered where most candidates of the image look suspicious",
    "final": "probability of a cluster that results; a finding is marked from the operating point on",
}


def steps(finding: Finding) -> dict[str, str]:
    """Return the numbers of a finding by ``WORDS``, as text; a scan of an earlier version has the final one alone.

    >>> known = (1, 2.0, 0.88, True, (9.0, 9.0), (0, 0, 9, 9), 1.0, ((9.0, 9.0),))
    >>> steps(Finding(*known, votes=(0.5, 0.7, 0.9), committee=0.75))
    {'votes': '0.50 0.70 0.90', 'committee': '0.75', 'second opinion': '+0.9', 'final': '0.88'}
    """
    values = {"votes": " ".join(f"{vote:.2f}" for vote in finding.votes)}
    if finding.committee is not None:
        values["committee"] = f"{finding.committee:.2f}"
    if finding.second_opinion is not None:
        values["second opinion"] = f"{finding.second_opinion:+z.1f}"
    values["final"] = f"{finding.probability:.2f}"
    return {word: value for word, value in values.items() if value}


def in_one_line(finding: Finding) -> str:
    """Return the steps of a finding in one line.

    >>> known = (1, 2.0, 0.88, True, (9.0, 9.0), (0, 0, 9, 9), 1.0, ((9.0, 9.0),))
    >>> in_one_line(Finding(*known, votes=(0.5, 0.7, 0.9), committee=0.75))
    'votes 0.50 0.70 0.90, committee 0.75, second opinion +0.9, final 0.88'
    """
    return ", ".join(f"{word} {value}" for word, value in steps(finding).items())
