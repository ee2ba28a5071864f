// Reads the vector files under Tests/Vectors.
// No tests here.

import Bytes
import FoundationEssentials
import Glibc

enum VectorFile {
  static func decode<Value: Decodable>(_ type: Value.Type, from name: String) throws -> Value {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let path = folder.appending(path: "Vectors").appending(path: name).path
    return try JSONDecoder().decode(type, from: try Data(contentsOf: URL(filePath: path)))
  }
}

/// Bytes written as hexadecimal digits.
struct HexBytes: Decodable {
  let bytes: [UInt8]

  init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let bytes = Hex.decode(text) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "no hexadecimal"))
    }
    self.bytes = bytes
  }
}

func raw<Result: ~Copyable, Failure: Error>(
  _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
) throws(Failure) -> Result {
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
  defer { copy.deallocate() }
  copy.copyBytes(from: bytes)
  return try body(UnsafeRawBufferPointer(copy))
}
