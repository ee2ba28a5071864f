// Which signing keys may go? Those whose successor has been out for longer than a token lives: then
// nothing that they signed holds any more.

import Accounts
import Clocks
import Testing

@testable import bindery

@Suite("Old signing keys") struct SigningKeyTests {
  private static let now = UnixTime(seconds: 1_800_000_000)
  private static let life = SigningKeyChange.tokenSecondsMax

  /// Names of keys in the file, how many seconds ago they were published, how many may go.
  static let rows: [([String], [String: Int64], Int)] = [
    (["a"], ["a": 9_999_999], 0),  // the one that signs
    (["a", "b"], ["a": 9_999_999], 0),  // auth has not read the file yet
    (["a", "b"], ["a": 9_999_999, "b": life - 1], 0),
    (["a", "b"], ["a": 9_999_999, "b": life], 1),
    (["a", "b"], ["b": life], 1),  // its own age says nothing
    (["a", "b", "c"], ["a": 99_999, "b": 99_999, "c": 10], 1),
    (["a", "b", "c"], ["a": 99_999, "b": 99_999, "c": 99_999], 2),
    (["a", "b", "c"], ["a": 99_999, "b": 10, "c": 99_999], 0),  // none before an older one
  ]

  @Test("go an hour after the next one signed", arguments: rows)
  func outlived(ids: [String], ages: [String: Int64], count: Int) {
    let published = ages.map {
      PublishedKey(keyID: $0.key, addedAt: Self.now.advanced(bySeconds: -$0.value))
    }
    #expect(SigningKeyChange.outlived(ids, published: published, at: Self.now) == count)
  }

  @Test("words that do not go together are refused")
  func usage() {
    #expect(Commands.run(["generate-key", "--at-once"]) == 2)
    #expect(Commands.run(["generate-key", "--signing", "--at-once"]) == 2)
    #expect(Commands.run(["generate-key", "--signing", "--file", "/dev/null/x"]) == 2)
  }
}
