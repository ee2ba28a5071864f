// The second net under the log: takes out of a rendered line whatever looks like a credential or a
// token, in raw, percent, hex, base64 or JSON-escaped form. One pass, linear in the line.
// It is not the first net: fields are typed so that nothing secret should ever get here.

/// Removes what looks like a secret from text.
public enum Scrubbing {
  /// The shortest run of token characters that is taken for a secret: 32 bytes in base64url.
  public static let runUnitsMin = 43

  /// The line without what looks like a secret; the line itself when nothing does.
  public static func scrub(_ line: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var kept = 0
    line.withUnsafeBufferPointer { bytes in
      var index = 0
      while index < bytes.count {
        guard let found = match(bytes, at: index) else {
          index = skip(bytes, from: index)
          continue
        }
        if result.isEmpty { result.reserveCapacity(bytes.count + 64) }
        result.append(contentsOf: bytes[kept..<found.keepUntil])
        result.append(contentsOf: found.replacement)
        kept = found.end
        index = found.end
      }
      if kept > 0 { result.append(contentsOf: bytes[kept...]) }
    }
    return kept > 0 ? result : line
  }

  private struct Match {
    var keepUntil: Int
    var end: Int
    var replacement: [UInt8]
  }

  private typealias Bytes = UnsafeBufferPointer<UInt8>

  /// Words after which everything up to the end of the run is a secret, however short.
  private static let prefixes: [[UInt8]] = ["bnd_", "userk_", "spacek_"].map { Array($0.utf8) }
  private static let bearer = Array("bearer".utf8)

  /// A secret that begins at `start`, where a run begins.
  private static func match(_ bytes: Bytes, at start: Int) -> Match? {
    if let word = wordEnd(bearer, bytes, at: start) {
      var index = word
      while let next = blank(bytes, at: index) { index = next }
      if index > word {
        let (end, units) = run(bytes, from: index)
        if units >= 8 { return Match(keepUntil: index, end: end, replacement: redacted) }
      }
    }
    let (end, units) = run(bytes, from: start)
    guard units > 0 else { return nil }
    if units >= runUnitsMin {
      return Match(keepUntil: start, end: end, replacement: Array("[REDACTED:\(units)chars]".utf8))
    }
    for prefix in prefixes {
      var index = start
      while index + prefix.count < end {
        if bytes[index] == prefix[0],
          (0..<prefix.count).allSatisfy({ bytes[index + $0] == prefix[$0] })
        {
          return Match(keepUntil: index + prefix.count, end: end, replacement: redacted)
        }
        index += 1
      }
    }
    return nil
  }

  private static let redacted = Array("[REDACTED]".utf8)

  /// The next place where a run may begin: behind this run, or one byte on.
  private static func skip(_ bytes: Bytes, from start: Int) -> Int {
    max(run(bytes, from: start).end, start + 1)
  }

  /// Where the run of token characters that begins at `start` ends, and how many it has; a percent
  /// escape and a JSON escape count as one.
  private static func run(_ bytes: Bytes, from start: Int) -> (end: Int, units: Int) {
    var index = start
    var units = 0
    while let next = unit(bytes, at: index) {
      index = next
      units += 1
    }
    return (index, units)
  }

  private static func unit(_ bytes: Bytes, at index: Int) -> Int? {
    guard index < bytes.count else { return nil }
    switch bytes[index] {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
      UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="):
      return index + 1
    case UInt8(ascii: "%"):
      guard index + 2 < bytes.count, isHex(bytes[index + 1]), isHex(bytes[index + 2]) else {
        return nil
      }
      return index + 3
    case UInt8(ascii: "\\"):
      guard index + 1 < bytes.count else { return nil }
      if bytes[index + 1] == UInt8(ascii: "/") { return index + 2 }
      guard bytes[index + 1] == UInt8(ascii: "u"), index + 5 < bytes.count,
        (2...5).allSatisfy({ isHex(bytes[index + $0]) })
      else { return nil }
      return index + 6
    default: return nil
    }
  }

  private static func isHex(_ byte: UInt8) -> Bool {
    switch byte | 0x20 {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): true
    default: false
    }
  }

  private static func blank(_ bytes: Bytes, at index: Int) -> Int? {
    guard index < bytes.count else { return nil }
    if bytes[index] == UInt8(ascii: " ") { return index + 1 }
    let isEscape =
      index + 2 < bytes.count && bytes[index] == UInt8(ascii: "%")
      && bytes[index + 1] == UInt8(ascii: "2") && bytes[index + 2] == UInt8(ascii: "0")
    return isEscape ? index + 3 : nil
  }

  private static func wordEnd(_ word: [UInt8], _ bytes: Bytes, at start: Int) -> Int? {
    guard start + word.count <= bytes.count,
      (0..<word.count).allSatisfy({ bytes[start + $0] | 0x20 == word[$0] })
    else { return nil }
    return start + word.count
  }
}
