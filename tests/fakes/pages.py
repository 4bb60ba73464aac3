"""What a test looks for in a page."""

import re


def find_token(page):
    """Return the token that a page's forms carry."""
    return re.search(r'name="form_token" value="([^"]+)"', page).group(1)


def list_outside_links(page):
    """Return what a page would fetch from another address."""
    return [link for link in re.findall(r'(?:src|href|action)="([^"]*)"', page) if not re.match(r"/(?!/)", link)]
