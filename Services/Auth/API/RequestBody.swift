// Reads JSON bodies: media type, strict syntax (size, depth, duplicate names), then the shape that a
// route declares. What is wrong is told in general words, never by quoting the body.

import FoundationEssentials
import HTTPServer
import StrictJSON

/// The body of a request.
enum RequestBody {
  /// The body as `Shape`.
  /// - Throws: `mediaTypeUnsupported`, `bodyMalformed`, or what `Shape` throws.
  static func read<Shape: Decodable>(
    _ request: Request, as shape: Shape.Type
  ) throws(Refusal) -> Shape {
    guard isJSON(request) else { throw .mediaTypeUnsupported }
    guard !request.body.isEmpty, isWellFormed(request.body) else {
      throw .bodyMalformed
    }
    do {
      return try JSONDecoder().decode(Shape.self, from: Data(request.body))
    } catch { throw (error as? Refusal) ?? .bodyMalformed }
  }

  /// The body as `Shape`, or nil when there is none.
  static func readIfPresent<Shape: Decodable>(
    _ request: Request, as shape: Shape.Type
  ) throws(Refusal) -> Shape? {
    request.body.isEmpty ? nil : try read(request, as: shape)
  }

  /// A browser sends application/json across origins only after a preflight.
  private static func isJSON(_ request: Request) -> Bool {
    guard request.fieldCount("content-type") == 1, let value = request.field("content-type") else {
      return false
    }
    let type = value.utf8.prefix { $0 != UInt8(ascii: ";") }
    let trimmed = type.reversed().drop { $0 == 0x20 || $0 == 0x09 }.reversed()
    return trimmed.map { (0x41...0x5a).contains($0) ? $0 + 32 : $0 }
      .elementsEqual("application/json".utf8)
  }
}

/// A text that people write and read: a label, a name.
enum PlainText {
  /// Unicode scalars before trimming, and after.
  static let scalarsMax = 256
  static let trimmedScalarsMax = 100

  /// `text` without outer blanks; nil when it is empty, too long, or holds what does not show:
  /// controls, line separators, overrides of the writing direction.
  static func admit(_ text: String) -> String? {
    let scalars = text.unicodeScalars
    guard scalars.count <= scalarsMax, scalars.allSatisfy(isVisible) else { return nil }
    let blank: (Unicode.Scalar) -> Bool = { $0.properties.isWhitespace }
    let trimmed = scalars.drop(while: blank).reversed().drop(while: blank).reversed()
    guard (1...trimmedScalarsMax).contains(trimmed.count) else { return nil }
    var result = String.UnicodeScalarView()
    result.append(contentsOf: trimmed)
    return String(result)
  }

  private static func isVisible(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7f..<0xa0, 0x2028, 0x2029, 0x202a...0x202e, 0x2066...0x2069, 0xfff9...0xffff:
      false
    default: !scalar.properties.isNoncharacterCodePoint
    }
  }
}
