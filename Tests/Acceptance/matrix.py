# The providers of the test matrix, one per row: how providers of this world differ in what they do
# with tokens, and which of them exist. Each row is a fresh scripted provider with its own service.

import dataclasses

from provider import MISSING, Provider, Rules, oauth_service

# Row -> how it behaves. What each is like stands behind it.
ROWS = {
    "t01": Rules("strict"),  # GitHub Apps: reuse kills the family
    "t02": Rules("repeat"),  # Todoist: the same access token again, without a refresh token
    "t03": Rules("until used"),  # Notion: the old one is good until the new one was used
    "t04": Rules("leeway", grace=600, dead_status=403),  # Atlassian
    "t05": Rules("none"),  # Figma, Google: the refresh token stays
    "t06": Rules(refresh=False, life=None),  # GitHub OAuth Apps: for ever, no refresh token
    "t07": Rules(form=True, errors_with_200=True, resource=False, revocation=False,
                 clients={"app-t07": "static-secret-of-t07"}, authentication="post"),  # GitHub
    "t08": Rules("leeway"),  # whoever is in trouble now and then; see TROUBLES
    "t09": Rules(code_life=3),  # Figma: codes die young
    "t10text": Rules(says="3600"),
    "t10missing": Rules(says=MISSING),
    "t10zero": Rules(says=0),
    "t10negative": Rules(says=-5),
    "t11basic": Rules(clients={"app:t11": "static:secret/of%t11+&="}, authentication="basic"),
    "t12comma": Rules(separator=","),
    "t13old": Rules(protected_resource=False, resource=False, iss=None),  # the 2025-03-26 way
    "t14secret": Rules(registered_secret=True, authentication="post"),
}

# Who says how long an access token lives, in a way that can be believed.
TELLING = [row for row in ROWS if row not in ("t06", "t10missing", "t10zero", "t10negative")]
REFRESHING = [row for row in ROWS if row != "t06"]

# What a token endpoint says when it is in trouble: none of it means that a grant is dead.
TROUBLES = {
    "a plain 500": (500, [], b"oops"),
    "a 503 with Retry-After": (503, [("Retry-After", "1")], b"later"),
    "a 429 with Retry-After": (429, [("Retry-After", "1")], b"too many"),
    "a 429 without": (429, [], b'{"error":"rate_limited"}'),
    "a page with 200": (200, [("Content-Type", "text/html")], b"<html>Maintenance</html>"),
    "a page with 403": (403, [("Content-Type", "text/html")], b"<html>Denied by firewall</html>"),
    "a page with 400": (400, [("Content-Type", "text/html")], b"<html>Bad</html>"),
    "invalid_grant in a 502": (502, [], b'{"error":"invalid_grant"}'),
    "nothing at all": (200, [], b""),
    "half of a JSON text": (200, [("Content-Type", "application/json")], b'{"access_token":"a'),
    "an empty token": (200, [("Content-Type", "application/json")],
                       b'{"access_token":"","token_type":"Bearer"}'),
    "a token with a line break": (200, [("Content-Type", "application/json")],
                                  b'{"access_token":"a\\r\\nb","token_type":"Bearer"}'),
    "invalid_client": (401, [("Content-Type", "application/json")], b'{"error":"invalid_client"}'),
    "unauthorized_client with 200": (200, [("Content-Type", "application/json")],
                                     b'{"error":"unauthorized_client"}'),
    "a redirect": (302, [("Location", "http://127.0.0.1:9/token")], b""),
}


def providers(rows=ROWS):
    return {row: Provider(dataclasses.replace(ROWS[row])) for row in rows}


def services(made, **refresh):
    return [oauth_service(row, provider, refresh) for row, provider in made.items()]


def settings(made):
    """The static clients as an operator gives them."""
    found = {}
    for row, provider in made.items():
        for name, secret in provider.rules.clients.items():
            found[f"{row.upper()}_CLIENT_ID"] = name
            found[f"{row.upper()}_CLIENT_SECRET"] = secret
    return found
