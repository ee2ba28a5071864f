// How values become payload bytes and back: JSON, checked for size, depth and duplicate keys
// before a decoder sees it. Unknown fields are ignored, so that a newer peer may say more.

import FoundationEssentials
import StrictJSON

/// Why a payload could not be written or read.
public enum PayloadError: Error, Equatable, Sendable {
  case tooLarge(Int)
  case unencodable
  case malformed
}

/// Payload bytes of typed values.
public enum Payload {
  /// The value as JSON, at most a frame's payload.
  public static func encode(_ value: some Encodable) throws(PayloadError) -> [UInt8] {
    let data: Data
    do { data = try JSONEncoder().encode(value) } catch { throw .unencodable }
    guard data.count <= Frame.payloadBytesMax else { throw .tooLarge(data.count) }
    return [UInt8](data)
  }

  /// The value that the bytes say; anything else is `malformed`.
  public static func decode<V: Decodable>(
    _: V.Type, from bytes: ArraySlice<UInt8>
  ) throws(PayloadError) -> V {
    guard isWellFormed(Array(bytes)) else { throw .malformed }
    do { return try JSONDecoder().decode(V.self, from: Data(bytes)) } catch { throw .malformed }
  }
}
