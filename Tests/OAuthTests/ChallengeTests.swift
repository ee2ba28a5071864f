// How challenges are read: by the grammar, or not at all. What one reader takes for a parameter and
// another for a scheme would send them to different servers.

import OAuth
import Testing

@Suite("Challenges") struct ChallengeTests {
  private static func show(_ line: String) -> String? {
    Challenge.parse(Array(line.utf8)).map { challenges in
      challenges.map { challenge in
        let parameters = challenge.parameters.sorted { $0.key < $1.key }
        return ([challenge.scheme] + parameters.map { "\($0.key)=\($0.value)" })
          .joined(separator: " ")
      }.joined(separator: " | ")
    }
  }

  static let rows: [(String, String?)] = [
    ("Bearer", "bearer"), ("", ""), (" , ,", ""), ("Bearer realm=\"a\"", "bearer realm=a"),
    ("BEARER Realm=a", "bearer realm=a"), ("Bearer a=b, c=\"d, e\"", "bearer a=b c=d, e"),
    ("Bearer a=\"x\\\"y\\\\\"", "bearer a=x\"y\\"), ("Bearer a = b ,, c=d", "bearer a=b c=d"),
    ("Basic realm=\"r\", Bearer scope=\"a b\"", "basic realm=r | bearer scope=a b"),
    ("Negotiate abc==, Bearer a=b", "negotiate | bearer a=b"),
    ("Bearer, Basic", "bearer | basic"), ("Bearer a=b, Basic", "bearer a=b | basic"),
    ("Negotiate YWJj", "negotiate"), ("Bearer a=\"\"", "bearer a="),
    (
      "DPoP algs=\"ES256 RS256\",Bearer resource_metadata=\"https://a/b?c=d\"",
      "dpop algs=ES256 RS256 | bearer resource_metadata=https://a/b?c=d"
    ),
    // Broken lines say nothing.
    ("Bearer a=b c=d", nil), ("Bearer a=\"b", nil), ("Bearer a=b, a=c", nil), ("=", nil),
    ("Bearer a=b, A=c", nil), ("Bearer a=\"b\"c", nil), ("Bearer a=\"b\\", nil), ("\"a\"", nil),
    ("Bearer a==b", nil), ("Bearer a=, b=c", nil), ("Bearer\u{0}", nil),
    ("Bearer a=\"\u{7f}\"", nil),
    ("Bearer abc def", nil), ("é", nil), ("Bearer {a}", nil), ("Bearer a=\"b\nc\"", nil),
    (String(repeating: "A,", count: 17), nil),
  ]

  @Test("follow the grammar or say nothing", arguments: rows)
  func grammar(line: String, expected: String?) {
    #expect(Self.show(line) == expected)
  }

  static let bearers: [([String], String?, [String])] = [
    (["Bearer resource_metadata=\"https://a/m\", scope=\"x y\""], "https://a/m", ["x", "y"]),
    (["Basic realm=r", "Bearer scope=x"], nil, ["x"]),
    (["Bearer scope=x, Bearer resource_metadata=\"https://a/m\""], "https://a/m", []),
    (["Bearer broken=\"", "Bearer resource_metadata=\"https://b/m\""], "https://b/m", []),
    (["Bearer scope=\"x  x a\\\"b offline_access\""], nil, ["x", "offline_access"]),
  ]

  @Test("of Bearer name metadata and scopes", arguments: bearers)
  func bearer(lines: [String], metadata: String?, scopes: [String]) throws {
    let challenge = try #require(BearerChallenge(lines: lines.map { Array($0.utf8) }))
    #expect(challenge.resourceMetadata == metadata && challenge.scopes == scopes)
  }

  @Test("of other schemes, and broken ones, are none") func none() {
    for line in ["Basic realm=r", "Bearer a=\"", "", "Bearer a=1, a=2"] {
      #expect(BearerChallenge(lines: [Array(line.utf8)]) == nil, "\(line)")
    }
  }
}
