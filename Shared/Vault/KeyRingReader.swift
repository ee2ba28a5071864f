// Reads the JSON of MANAGED_ENCRYPTION_KEYS in place: an array of objects with one member "key" and
// nothing else. Stricter than JSON: no escapes, no other members.

/// A cursor over the text of a key ring.
struct KeyRingReader {
  private let text: UnsafeRawBufferPointer
  private var index = 0

  init(_ text: UnsafeRawBufferPointer) { self.text = text }

  mutating func read() throws(KeyRingError) -> [MasterKey] {
    var keys: [MasterKey] = []
    guard take("[") else { throw .malformed }
    if take("]") {
      guard isAtEnd else { throw .malformed }
      throw .empty
    }
    repeat {
      guard keys.count < KeyRing.keysMax else { throw .tooMany }
      let number = keys.count + 1
      guard take("{"), take("\"key\""), take(":"), let value = string(), take("}") else {
        throw .entry(number: number, .malformed)
      }
      do throws(KeyRingError.Reason) {
        keys.append(try MasterKey(hexText: value))
      } catch {
        throw .entry(number: number, error)
      }
    } while take(",")
    guard take("]"), isAtEnd else { throw .malformed }
    return keys
  }

  /// Skips blanks and takes `token` if it comes next.
  private mutating func take(_ token: StaticString) -> Bool {
    skipBlanks()
    let count = token.utf8CodeUnitCount
    guard text.count - index >= count else { return false }
    for offset in 0..<count where text[index + offset] != token.utf8Start[offset] { return false }
    index += count
    return true
  }

  /// The inside of a string without escapes.
  private mutating func string() -> UnsafeRawBufferPointer? {
    guard take("\"") else { return nil }
    let start = index
    while index < text.count, text[index] != UInt8(ascii: "\"") {
      guard text[index] >= 0x20, text[index] != UInt8(ascii: "\\") else { return nil }
      index += 1
    }
    guard index < text.count else { return nil }
    defer { index += 1 }
    return UnsafeRawBufferPointer(rebasing: text[start..<index])
  }

  private var isAtEnd: Bool {
    mutating get {
      skipBlanks()
      return index == text.count
    }
  }

  private mutating func skipBlanks() {
    while index < text.count, [0x20, 0x09, 0x0a, 0x0d].contains(text[index]) { index += 1 }
  }
}
