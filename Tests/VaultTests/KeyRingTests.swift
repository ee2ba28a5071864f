// Answers which key rings and key files are accepted; a refusal names the entry, never the value.
// What Configuration makes of a refusal is tested there.

import Bytes
import Clocks
import Glibc
import Posix
import Testing

@testable import Vault

@Suite("Key ring") struct KeyRingTests {
  static let a = String(repeating: "a1", count: 32)
  static let b = String(repeating: "B2", count: 32)

  private func ring(_ text: String) throws(KeyRingError) -> KeyRing {
    try raw(Array(text.utf8)) { text throws(KeyRingError) in try KeyRing(text: text) }
  }

  static func list(_ keys: [String]) -> String {
    "[\(keys.map { "{\"key\":\"\($0)\"}" }.joined(separator: ","))]"
  }

  @Test("has its last key active and finds keys by fingerprint") func order() throws {
    let ring = try ring(" [ {\"key\" : \"\(Self.a)\"},\n{\"key\":\"\(Self.b)\"} ]\n")
    #expect(ring.keys.count == 2)
    #expect(ring.active.fingerprint == ring.keys[1].fingerprint)
    for key in ring.keys { #expect(ring[key.fingerprint] === key) }
    #expect(ring[.zero] == nil)
    // The fingerprint is of the lower-cased text.
    let lower = raw(Array(Self.b.lowercased().utf8)) { KeyFingerprint(ofHexText: $0) }
    #expect(ring.active.fingerprint == lower)
    #expect(KeyFingerprint(lower.description) == lower)
    #expect(KeyFingerprint(lower.description.uppercased()) == nil)
  }

  static let refused: [(String, KeyRingError)] = [
    ("", .malformed), ("{}", .malformed), ("[]", .empty), ("[ ] x", .malformed),
    (list([a]) + ",", .malformed), ("[{\"key\":\"\(a)\"},]", .entry(number: 2, .malformed)),
    ("[\"\(a)\"]", .entry(number: 1, .malformed)), ("[{}]", .entry(number: 1, .malformed)),
    ("[{\"key\":1}]", .entry(number: 1, .malformed)),
    ("[{\"key\":\"\(a)\",\"x\":1}]", .entry(number: 1, .malformed)),
    ("[{\"Key\":\"\(a)\"}]", .entry(number: 1, .malformed)),
    ("[{\"key\":\"\(a)", .entry(number: 1, .malformed)),
    ("[{\"key\":\"\\u0061\(a.dropFirst())\"}]", .entry(number: 1, .malformed)),
    (list([a, ""]), .entry(number: 2, .length)),
    (list([a, String(b.dropLast())]), .entry(number: 2, .length)),
    (list([a, b + "0"]), .entry(number: 2, .length)),
    (list([a, "g" + b.dropFirst()]), .entry(number: 2, .notHexadecimal)),
    (list([a, "+" + b.dropFirst()]), .entry(number: 2, .notHexadecimal)),
    (list([" " + a.dropFirst()]), .entry(number: 1, .notHexadecimal)),
    (list([a, String(repeating: "0", count: 64)]), .entry(number: 2, .allZero)),
    (list([a, b, a]), .entry(number: 3, .duplicate(ofEntry: 1))),
    (list([a, b, b.lowercased()]), .entry(number: 3, .duplicate(ofEntry: 2))),
    (list((1...65).map { _ in a }), .tooMany),
    ("\u{feff}" + list([a]), .malformed),
  ]

  @Test("is refused, by entry", arguments: refused) func refusals(text: String, error: KeyRingError)
  {
    #expect(throws: error) { try ring(text) }
  }

  @Test("can be a single key") func single() throws {
    let ring = try raw(Array(Self.a.utf8)) { (text) throws(KeyRingError) in
      try KeyRing(singleKey: text)
    }
    #expect(ring.keys.count == 1)
    #expect(throws: KeyRingError.entry(number: 1, .length)) {
      try raw([UInt8(ascii: "a")]) { (text) throws(KeyRingError) in try KeyRing(singleKey: text) }
    }
  }
}

@Suite("Key ring as text") struct KeyRingTextTests {
  private func ring(_ secret: borrowing Secret) throws -> KeyRing {
    try secret.withBytes { text throws(KeyRingError) in try KeyRing(text: text) }
  }

  private func three() throws -> KeyRing {
    let c = String(repeating: "0c", count: 32)
    return try raw(Array(KeyRingTests.list([KeyRingTests.a, KeyRingTests.b, c]).utf8)) {
      text throws(KeyRingError) in try KeyRing(text: text)
    }
  }

  @Test("is read again as the same keys in the same order") func same() throws {
    let ring = try three()
    let text = ring.makeText()
    let whole = text.withBytes { String(decoding: $0, as: UTF8.self) }
    let c = String(repeating: "0c", count: 32)
    #expect(whole == KeyRingTests.list([KeyRingTests.a, KeyRingTests.b.lowercased(), c]) + "\n")
    #expect(try self.ring(text).keys.map(\.fingerprint) == ring.keys.map(\.fingerprint))
  }

  @Test("loses any key but the active one and the only one") func without() throws {
    let ring = try three()
    for index in 0..<2 {
      let rest = try #require(ring.without(ring.keys[index].fingerprint))
      #expect(
        rest.keys.map(\.fingerprint) == [ring.keys[1 - index], ring.active].map(\.fingerprint))
      #expect(try self.ring(rest.makeText()).keys.count == 2)
    }
    #expect(ring.without(ring.active.fingerprint) == nil)
    #expect(ring.without(.zero) == nil)
    let single = try self.ring(KeyRing.makeText())
    #expect(single.without(single.active.fingerprint) == nil)
  }

  @Test("a value comes under the active key in its place, and only there") func rewrap() throws {
    let ring = try three()
    let older = try #require(ring.without(ring.keys[1].fingerprint))
    let before = try raw(Array(KeyRingTests.list([KeyRingTests.b, KeyRingTests.a]).utf8)) {
      text throws(KeyRingError) in try KeyRing(text: text)
    }
    let engine = SealEngine()
    let key = DataKey.random()
    let place = SealContext.managedWrap(connection: "c", owner: "o")
    let wrap = engine.wrap(key, under: before, context: place)
    let fresh = try engine.rewrap(wrap, with: ring, context: place)
    #expect(fresh.withUnsafeBytes { KeyFingerprint(ofSealed: $0) } == ring.active.fingerprint)
    #expect(fresh.count == wrap.count && fresh != wrap)
    let isSame = try fresh.withUnsafeBytes {
      try engine.unwrap($0, with: older, context: place).isEqual(to: key)
    }
    #expect(isSame)
    let other = SealContext.managedWrap(connection: "d", owner: "o")
    #expect(throws: SealError.refused) { try engine.rewrap(wrap, with: ring, context: other) }
    var broken = wrap
    broken[60] ^= 1
    #expect(throws: SealError.refused) { try engine.rewrap(broken, with: ring, context: place) }
    #expect(throws: SealError.refused) { try engine.rewrap([], with: ring, context: place) }
    let stranger = try self.ring(KeyRing.makeText())
    #expect(throws: SealError.refused) { try engine.rewrap(wrap, with: stranger, context: place) }
  }
}

@Suite("Key file") struct KeyFileTests {
  let place: Place

  init() throws { place = try Place() }

  private func write(_ text: String, mode: mode_t) -> String {
    let path = "\(place.path)/keys.json"
    unlink(path)
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    _ = text.withCString { Glibc.write(file, $0, strlen($0)) }
    fchmod(file, mode)
    close(file)
    return path
  }

  @Test("is read when only its owner can") func modes() throws {
    for mode: mode_t in [0o600, 0o400] {
      let secret = try KeyFile.read(write("abc", mode: mode))
      #expect(secret.withBytes { [UInt8]($0) } == Array("abc".utf8))
    }
    for mode: mode_t in [0o640, 0o604, 0o660, 0o700, 0o644, 0o602] {
      #expect(throws: KeyFileError.openToOthers(mode: UInt32(mode))) {
        _ = try KeyFile.read(write("abc", mode: mode))
      }
    }
  }

  @Test("is no link, no folder, no device, not missing, not huge") func nature() throws {
    let path = write("abc", mode: 0o600)
    let name = path + ".link"
    symlink(path, name)
    #expect(throws: KeyFileError.symbolicLink) { _ = try KeyFile.read(name) }
    #expect(throws: KeyFileError.notARegularFile) { _ = try KeyFile.read(place.path) }
    #expect(throws: KeyFileError.notARegularFile) { _ = try KeyFile.read("/dev/zero") }
    #expect(throws: KeyFileError.self) { _ = try KeyFile.read(path + ".none") }
    truncate(path, KeyFile.bytesMax + 1)
    #expect(throws: KeyFileError.tooLarge) { _ = try KeyFile.read(path) }
  }

  @Test("is replaced whole, with its mode, past what a killed tool left") func replacing() throws {
    let path = write("old", mode: 0o400)
    _ = symlink("/etc/passwd", path + ".new")
    var text = Array("new text".utf8)
    try KeyFile.replace(path, contents: Secret(wiping: &text))
    #expect(try KeyFile.read(path).withBytes { [UInt8]($0) } == Array("new text".utf8))
    var facts = stat()
    #expect(lstat(path, &facts) == 0 && facts.st_mode & 0o777 == 0o400)
    #expect(place.names.filter { $0.hasPrefix("keys") } == ["keys.json"])
    #expect(throws: KeyFileError.system(Errno(code: ENOENT))) {
      try KeyFile.replace(path + ".none", contents: KeyRing.makeText())
    }
    symlink(path, path + ".link")
    #expect(throws: KeyFileError.notARegularFile) {
      try KeyFile.replace(path + ".link", contents: KeyRing.makeText())
    }
  }

  @Test("is made once, private, and holds a sound ring") func making() throws {
    let path = "\(place.path)/made.json"
    try KeyFile.create(path, contents: KeyRing.makeText())
    let text = try KeyFile.read(path)
    let ring = try text.withBytes { (text) throws(KeyRingError) in try KeyRing(text: text) }
    #expect(ring.keys.count == 1)
    #expect(throws: KeyFileError.exists) {
      try KeyFile.create(path, contents: KeyRing.makeText())
    }
    let same = try KeyFile.read(path).isEqual(to: text)
    #expect(same, "nothing was overwritten")
    #expect(!place.names.contains("made.json.new"))
  }
}
