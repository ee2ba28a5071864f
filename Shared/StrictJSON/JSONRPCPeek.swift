// What is the `id` of this JSON-RPC message, so that an error can answer it? Looks at the members
// of the outermost object alone, so an `id` inside `params` is never taken for it; builds nothing;
// and of a text that is cut off it says only what it read to its end. Not a validator of messages.

/// The outermost `id` and `method` of a JSON-RPC message.
public struct JSONRPCPeek {
  /// What is known of the id.
  public enum Identity: Equatable, Sendable {
    /// The text is a whole object and has none: a notification.
    case absent
    /// The text is broken, cut off before it, a batch, or names the id twice.
    case unknown
    /// It is `null`.
    case null
    /// It is the string (with its quotes) or number at this place in the text.
    case value(Range<Int>)
  }

  /// A longer id is not repeated in an answer.
  public static let idBytesMax = 256

  /// What is known of the id.
  public let identity: Identity
  /// Where the method's name stands, without quotes; nil when unknown or written with escapes.
  public let methodRange: Range<Int>?
  private let bytes: UnsafeRawBufferPointer

  /// Looks at `bytes`, which must stay there while `id` and `method` are asked.
  public init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
    var walk = JSONWalk(bytes, depthMax: 64, refusesDuplicates: false)
    var isWhole = true
    do throws(JSONError) { try walk.run() } catch {
      guard error == .truncated else {
        identity = .unknown
        methodRange = nil
        return
      }
      isWhole = false
    }
    identity = Self.identity(walk.id, isWhole && walk.isObject)
    let method = walk.method
    let isMethod = method.times == 1 && method.kind == .string && method.isWhole
    methodRange = isMethod ? (method.range.lowerBound + 1)..<(method.range.upperBound - 1) : nil
  }

  /// The id as it stands in the text, a string with its quotes, ready to be put into an answer; nil
  /// when there is none that could be repeated.
  public var id: [UInt8]? {
    if case .value(let range) = identity { Array(bytes[range]) } else { nil }
  }

  /// The method's name, or nil.
  public var method: UnsafeRawBufferPointer? {
    methodRange.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
  }

  private static func identity(_ id: JSONWalk.Member, _ isWholeObject: Bool) -> Identity {
    switch id.times {
    case 0: return isWholeObject ? .absent : .unknown
    case 1: break
    default: return .unknown
    }
    guard id.isWhole else { return .unknown }
    switch id.kind {
    case .null: return .null
    case .string, .number: return id.range.count <= idBytesMax ? .value(id.range) : .unknown
    case .other: return .unknown
    }
  }
}
