# The rules that the authorization server and everything of sign-in are held to, and how a test says
# which of them it shows. O: an OAuth 2.1 server (RFC 6749, 6750, 7009, 7519, 7591, 7636, 7662, 8414, 8707,
# 8725, 9068, 9207, 9700, 9728). A: what the MCP specification asks of a server. I: what others got wrong.
# A test names what it shows at work (`keeps`) and what it shows refused (`refuses`); test_rules.py holds
# the list against the tests.

RULES = {
    "O1": "parameters: unknown ones are ignored, repeated ones refused, empty ones absent",
    "O2": "without a known client and its redirect address nobody is sent anywhere",
    "O3": "redirect addresses match byte for byte, but for the port of a loopback one",
    "O4": "the query of a redirect address is kept; fragments and plain http are refused",
    "O5": "other errors go back with error, state and iss",
    "O6": "response_type is code",
    "O7": "PKCE by S256, with a challenge of the right shape",
    "O8": "a code is bound, short-lived, unguessable, and good once",
    "O9": "state goes back byte for byte",
    "O10": "a code does not tell its challenge, nor does the challenge redeem it",
    "O11": "after a form that carried a password comes a 303",
    "O12": "no page of another origin reads the authorization page",
    "O13": "our pages can not be framed",
    "O14": "no open redirector: who did not sign in is sent nowhere",
    "O15": "no referrer leaves pages and redirects that carry codes",
    "O16": "scopes are reduced to what there is, or refused",
    "O20": "the token endpoint takes forms by POST alone",
    "O21": "confidential clients prove themselves, in one way",
    "O22": "a code is its client's and its redirect address's",
    "O23": "a verifier is there if and only if a challenge was",
    "O24": "the verifier fits",
    "O25": "tokens come as JSON that nobody stores, with type, life and scope",
    "O26": "errors have their names and plain descriptions",
    "O27": "guessing secrets is slowed down",
    "O28": "refresh tokens rotate; reuse ends the grant; scopes never grow; there is an end",
    "O29": "a refresh keeps to the consented scope and resource",
    "O30": "resource is an absolute address of ours, named once or the same each time",
    "O31": "a token is for the resource that was asked for",
    "O32": "a refresh for another resource is refused",
    "O33": "the server's metadata is where and what RFC 8414 says",
    "O34": "the resource's metadata repeats its address; the challenge leads there",
    "O35": "iss is in every answer, success or not",
    "O36": "a registration answers with all that holds",
    "O37": "unknown metadata is ignored, wrong metadata named",
    "O38": "redirect addresses that are registered are safe ones",
    "O39": "grant types, response types and keys are consistent; public clients get no secret",
    "O40": "registrations are bounded in size, number and time; names are text",
    "O41": "revocation is at once, for the token's client alone",
    "O42": "introspection is for clients with a secret, about their own tokens",
    "O43": "tokens come in Authorization, once; challenges say what is wrong",
    "O44": "the algorithm is the key's",
    "O45": "type, issuer, audience, times and subject are checked",
    "O46": "what a header says of keys is not believed; unknown crit is refused",
    "O47": "spellings are canonical, signatures of the right size",
    "O48": "tokens of one kind are good for nothing else",
    "O49": "an old key verifies until it goes; nothing private is published",
    "O56": "no password grant",
    "O57": "no client can look like a person",
    "O58": "codes travel over TLS or loopback",
    "O59": "tokens are in no log, address or error",
    "A1": "resource metadata by challenge, by path and at the root",
    "A3": "the challenge names the scope, and no offline_access",
    "A4": "the authorization server's metadata is published once and by one issuer",
    "A5": "S256 is advertised, and nothing else works",
    "A7": "tokens for others are refused, and no token of a client goes upstream",
    "A8": "tokens in the query are none",
    "A9": "401 for missing and invalid tokens, 400 for malformed requests",
    "A11": "iss is sent and advertised",
    "A12": "clients come pre-registered, by document or by registration",
    "A13": "documents of clients are fetched with care, and held to",
    "A14": "refresh tokens of public clients rotate; redirects are exact",
    "A15": "a person agrees for each client, each time",
    "A16": "refresh tokens are stored by nobody",
    "I1": "redirect addresses are exact at the token endpoint, too",
    "I2": "PKCE can not be left out or weakened",
    "I3": "of many exchanges of one code one succeeds, and then none holds",
    "I4": "nobody ends a grant by guessing, nor with another client's code",
    "I5": "a lost answer locks nobody out",
    "I6": "grants end by themselves, by their client and by their owner",
    "I7": "an authorization at a provider is bound to browser, provider and once",
    "I8": "consent is shown per client and address, and can not be forged",
    "I9": "each kind of token has its audience",
    "I10": "foreign tokens: pinned algorithm, exact claims",
    "I11": "key sets are fetched rarely, and kept when their server is down",
    "I12": "clients that come by themselves are bounded and checked",
    "I13": "sign-in does not tell who has an account",
    "I14": "cookies are strict, and change nothing for foreign pages",
    "I15": "accounts hang on subjects, never on addresses",
    "I16": "no trick of path, method or header gets past sign-in",
}

# What the server does not offer, by what would advertise it: pushed requests (RFC 9126), tokens bound to
# a key (RFC 9449) and the way of devices (RFC 8628). test_rules.py sees that none of it is said or done.
NOT_OFFERED = {"pushed_authorization_request_endpoint", "dpop_signing_alg_values_supported",
               "device_authorization_endpoint"}


def _naming(names):
    unknown = set(names) - RULES.keys()
    assert names and not unknown, f"no such rules: {unknown}"
    return lambda test: test


def keeps(*names):
    """The test shows these rules at work: what they allow works, as they say."""
    return _naming(names)


def refuses(*names):
    """The test shows these rules refuse: what breaks them is not done."""
    return _naming(names)
