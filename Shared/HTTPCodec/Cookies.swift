// Cookies of a request (RFC 6265 4.2, 5.4). Two cookies of one name are an attack or an accident
// that nobody can tell apart, so the one that is asked for must stand exactly once.

/// Reads Cookie fields.
public enum Cookies {
  /// Why a cookie was not found.
  public enum Failure: Error, Equatable, Sendable {
    /// It stands more than once, with whatever values.
    case repeated
    /// Its value has a byte that cookie values do not have.
    case malformed
  }

  /// The value of the cookie `name` in the Cookie field `field`, or nil when it is not there. Other
  /// cookies are stepped over, whatever they look like: they are not ours.
  /// - Throws: `Failure`.
  public static func value(
    _ name: String, in field: UnsafeRawBufferPointer
  ) throws(Failure) -> String? {
    var found: String?
    var rest = field
    while !rest.isEmpty {
      let end = rest.firstIndex(of: UInt8(ascii: ";")) ?? rest.count
      let pair = trimmingBlanks(UnsafeRawBufferPointer(rebasing: rest[..<end]))
      rest = UnsafeRawBufferPointer(rebasing: rest[min(end + 1, rest.count)...])
      let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.count
      guard pair[..<equals].elementsEqual(name.utf8) else { continue }
      guard found == nil else { throw .repeated }
      guard equals < pair.count else { throw .malformed }
      let value = pair[(equals + 1)...]
      guard value.allSatisfy({ ByteSet.cookieValue.contains($0) }) else { throw .malformed }
      found = String(decoding: value, as: UTF8.self)
    }
    return found
  }

  /// The value of the cookie `name` in the Cookie field `field`, or nil when it is not there.
  /// - Throws: `Failure`.
  public static func value(_ name: String, in field: String) throws(Failure) -> String? {
    var field = field
    let result = field.withUTF8 { bytes in
      Result { () throws(Failure) in try value(name, in: UnsafeRawBufferPointer(bytes)) }
    }
    return try result.get()
  }
}
