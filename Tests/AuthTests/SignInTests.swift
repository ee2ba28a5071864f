// The pure rules of signing in: passwords, cookies, throttling. Time is an argument, so a quarter
// of an hour passes at once.

import Accounts
import Bytes
import Clocks
import HTTPCodec
import HTTPServer
import Posix
import Testing

@testable import bindery_auth

@Suite("Passwords") struct PasswordTests {
  // A Secret cannot stand inside an expectation, which copies its parts.
  private func matches(_ text: String, _ stored: StoredPassword) -> Bool {
    guard let secret = PasswordRules.admitTried(text) else { return false }
    return PasswordHash.matches(secret, stored)
  }

  private func hash(_ text: String) -> StoredPassword? {
    guard let secret = PasswordRules.admitNew(text) else { return nil }
    return PasswordHash.make(secret)
  }

  @Test("a hash matches its password only, and knows when it is outdated") func hash() throws {
    let stored = try #require(hash("correct horse battery"))
    #expect(matches("correct horse battery", stored))
    #expect(!PasswordHash.isOutdated(stored))
    #expect(!matches("correct horse batters", stored))
    #expect(!matches("correct horse battery", PasswordHash.ofNobody))
    #expect(hash("correct horse battery")?.salt != stored.salt)
  }

  @Test("scrypt is that of RFC 7914 section 12") func vector() throws {
    let stored = StoredPassword(
      costN: 16384, costR: 8, costP: 1, salt: Array("SodiumChloride".utf8),
      hash: try #require(
        Hex.decode(
          "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
            + "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887")))
    #expect(matches("pleaseletmein", stored))
    #expect(PasswordHash.isOutdated(stored))
  }

  @Test(
    "length counts, composition does not",
    arguments: [
      ("123456789012", true), ("12345678901", false), ("            ", true), ("", false),
      ("ééééééééééé", false), ("éééééééééééé", true), ("passw\u{0}rd is long", false),
      ("passw\nrd is long", false), (String(repeating: "a", count: 1024), true),
      (String(repeating: "a", count: 1025), false), ("密碼密碼密碼密碼密碼密碼", true),
    ])
  func rules(text: String, accepted: Bool) {
    let isAdmitted = PasswordRules.admitNew(text) != nil
    #expect(isAdmitted == accepted)
  }
}

@Suite("Sign-in throttle") struct SignInThrottleTests {
  private static let start = Instant(nanoseconds: 1_000_000_000_000)
  private static let here = IPAddress("192.0.2.1")
  private static let there = IPAddress("198.51.100.1")

  @Test("an account is closed to one network, not to others; time opens it") func account() {
    var throttle = SignInThrottle()
    for _ in 0..<10 {
      #expect(throttle.attempt(account: "a", from: Self.here, now: Self.start) == nil)
    }
    let wait = throttle.attempt(account: "a", from: Self.here, now: Self.start)
    #expect(wait == 901)
    #expect(throttle.attempt(account: "b", from: Self.here, now: Self.start) == nil)
    #expect(throttle.attempt(account: "a", from: Self.there, now: Self.start) == nil)
    let later = Self.start.advanced(by: .seconds(900))
    #expect(throttle.attempt(account: "a", from: Self.here, now: later) == nil)
  }

  @Test("an account is closed to everybody after many attempts from many networks") func spread() {
    var throttle = SignInThrottle()
    for number in 0..<100 {
      let client = IPAddress(v4: UInt32(0x0a00_0000 + number))
      #expect(throttle.attempt(account: "a", from: client, now: Self.start) == nil)
    }
    #expect(throttle.attempt(account: "a", from: Self.there, now: Self.start) != nil)
  }

  @Test("a network is closed after many attempts at many accounts") func network() {
    var throttle = SignInThrottle()
    for number in 0..<300 {
      #expect(throttle.attempt(account: "\(number)", from: Self.here, now: Self.start) == nil)
    }
    #expect(throttle.attempt(account: "x", from: Self.here, now: Self.start) != nil)
    #expect(throttle.attempt(account: "x", from: Self.there, now: Self.start) == nil)
  }

  @Test("success gives attempts back, refusals are not counted") func success() {
    var throttle = SignInThrottle()
    for _ in 0..<1000 {
      #expect(throttle.attempt(account: "a", from: Self.here, now: Self.start) == nil)
      throttle.succeed(account: "a", from: Self.here)
    }
    for _ in 0..<20 { _ = throttle.attempt(account: "a", from: Self.here, now: Self.start) }
    for _ in 0..<89 {  // ten of the twenty were counted for the account as a whole
      #expect(throttle.attempt(account: "b", from: Self.here, now: Self.start) == nil)
      throttle.succeed(account: "b", from: Self.here)
    }
  }

  @Test("the memory is bounded under a flood of names") func bound() {
    var throttle = SignInThrottle(SignInThrottle.Limits(entriesMax: 100))
    for number in 0..<10_000 {
      let client = IPAddress(v4: UInt32(number))
      let now = Self.start.advanced(by: .milliseconds(number))
      _ = throttle.attempt(account: "\(number)", from: client, now: now)
    }
    #expect(throttle.entryCount <= 103)
  }

  @Test("one network is a /64 of IPv6") func wide() {
    var throttle = SignInThrottle()
    for number in 0..<10 {
      let client = IPAddress(high: 0x2001_0db8_0000_0000, low: UInt64(number))
      _ = throttle.attempt(account: "a", from: client, now: Self.start)
    }
    let client = IPAddress(high: 0x2001_0db8_0000_0000, low: 99)
    #expect(throttle.attempt(account: "a", from: client, now: Self.start) != nil)
  }
}

@Suite("Session cookie") struct SessionCookieTests {
  private func request(_ cookies: [String]) -> Request {
    Request(
      method: .get, path: "/api/me", query: nil, fields: cookies.map { ("cookie", $0) }, body: [],
      client: nil, viaEdge: true)
  }

  @Test("over https it carries the host prefix and Secure") func attributes() throws {
    let plain = CookieField.session(publicURL: try #require(WebURL("http://127.0.0.1:8080")))
    let secure = CookieField.session(publicURL: try #require(WebURL("https://bindery.example")))
    #expect(
      plain.set("v").value
        == "bindery_session=v; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000")
    #expect(
      secure.set("v").value
        == "__Host-bindery_session=v; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=2592000")
    #expect(secure.clear.value.utf8.starts(with: "__Host-bindery_session=; Path=/".utf8))
  }

  @Test(
    "it is read when it is there exactly once",
    arguments: [
      (["bindery_session=abc"], "abc"), (["a=b; bindery_session=abc; c=d"], "abc"),
      (["a=b", "bindery_session=abc"], "abc"), (["bindery_session=a; bindery_session=b"], nil),
      (["bindery_session=a", "bindery_session=a"], nil), (["xbindery_session=a"], nil),
      (["Bindery_session=a"], nil), (["bindery_session"], nil), ([], nil),
      (["bindery_session=a=b"], "a=b"),
    ] as [([String], String?)])
  func reading(cookies: [String], expected: String?) throws {
    let field = CookieField.session(publicURL: try #require(WebURL("http://127.0.0.1:8080")))
    #expect(field.value(in: request(cookies)) == expected)
  }
}
