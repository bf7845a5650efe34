"""Pages of documentation with a part that is generated."""

from ltx_core import LTXError


def insert(page: str, what: str, text: str) -> str:
    """A page with a text between the comments `ltx bench <what>: begin` and `ltx bench <what>: end`.

    Raises:
        LTXError: the page has no such comments.
    """
    begin, end = (f"<!-- ltx bench {what}: {mark} -->" for mark in ("begin", "end"))
    before, found, rest = page.partition(begin)
    _, found_too, after = rest.partition(end)
    if not found or not found_too:
        raise LTXError(f"the page has no lines {begin} and {end} for what is to be put between them")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
