// Reads whole conversations as a server does, cut into pieces at given places, so that tests can
// ask whether the cuts make a difference. Also decodes the published corpus.

import Bytes
import FoundationEssentials
import HTTPCodec

/// One request as it was understood.
struct Message: Equatable, CustomStringConvertible {
  var method: Method
  var target: String
  var minorVersion: UInt8
  var fields: [String]
  var framing: BodyFraming
  var keepAlive: Bool
  var body: [UInt8] = []

  var description: String {
    "\(method) \(target) 1.\(minorVersion) \(fields) \(framing) \(keepAlive) body \(body.count)"
  }
}

/// What a server makes of the bytes of one connection.
struct Reading: Equatable {
  enum End: Equatable {
    case clean
    /// More bytes are needed.
    case incomplete
    case head(HeadError)
    case chunk(ChunkError)
    /// The connection ends after the last message; what follows is not read.
    case closed
  }

  var messages: [Message] = []
  var end = End.clean

  /// Reads `bytes`, which come in pieces that end at `cuts` (ascending).
  init(_ bytes: [UInt8], cuts: [Int] = [], limits: HeadLimits = HeadLimits()) {
    let buffer = Buffer(capacity: 64)
    let head = RequestHead()
    var body: BodyDecoder?
    var isInHead = false
    var start = 0
    for cut in cuts + [bytes.count] {
      buffer.append(Array(bytes[start..<cut]))
      start = cut
      while true {
        if body != nil {
          do throws(ChunkError) {
            while let piece = try body?.next(from: buffer) {
              messages[messages.count - 1].body.append(contentsOf: piece)
            }
          } catch {
            end = .chunk(error)
            return
          }
          guard body?.isComplete == true else { break }
          body = nil
          guard messages.last?.keepAlive == true else {
            end = .closed
            return
          }
        }
        guard !buffer.isEmpty else { break }
        do throws(HeadError) {
          isInHead = true
          guard let length = try head.parse(buffer.readable, limits: limits) else { break }
          isInHead = false
          messages.append(Message(head, buffer.readable))
          buffer.consume(length)
          body = BodyDecoder(head.framing)
        } catch {
          end = .head(error)
          return
        }
      }
    }
    if body != nil || isInHead { end = .incomplete }
  }
}

extension Message {
  init(_ head: RequestHead, _ bytes: UnsafeRawBufferPointer) {
    method = head.method
    target = String(decoding: head.target(in: bytes), as: UTF8.self)
    minorVersion = head.minorVersion
    fields = head.fields.map { field in
      let name = String(decoding: field.name(in: bytes), as: UTF8.self)
      let value = String(decoding: field.value(in: bytes), as: UTF8.self)
      return "\(name): \(value)"
    }
    framing = head.framing
    keepAlive = head.keepAlive
  }
}

/// The published requests.
enum Corpus {
  /// The decoded files of a folder, by name.
  static func files(_ folder: String) throws -> [(name: String, bytes: [UInt8])] {
    let here = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    let path = "/\(here)/Vectors/http/\(folder)"
    return try FileManager.default.contentsOfDirectory(atPath: path).sorted().map { name in
      (name, decoded(Array(try Data(contentsOf: URL(filePath: "\(path)/\(name)")))))
    }
  }

  /// Line breaks of the file do not count; CR, LF and others are written as escapes.
  private static func decoded(_ file: [UInt8]) -> [UInt8] {
    let text = file.filter { $0 != UInt8(ascii: "\n") }
    var result: [UInt8] = []
    var index = 0
    while index < text.count {
      let isEscape = text[index] == UInt8(ascii: "\\") && index + 1 < text.count
      switch isEscape ? text[index + 1] : 0 {
      case UInt8(ascii: "r"): result.append(13)
      case UInt8(ascii: "n"): result.append(10)
      case UInt8(ascii: "t"): result.append(9)
      case UInt8(ascii: "0"): result.append(0)
      case UInt8(ascii: "x"):
        let digits = String(decoding: text[(index + 2)..<(index + 4)], as: UTF8.self)
        result.append(UInt8(digits, radix: 16) ?? 0)
        index += 2
      default:
        result.append(text[index])
        index -= 1
      }
      index += 2
    }
    return result
  }
}

/// Fails to need more than bytes: the error of one request head, or nil.
func headError(_ text: String, limits: HeadLimits = HeadLimits()) -> HeadError? {
  let reading = Reading(Array(text.utf8), limits: limits)
  if case .head(let error) = reading.end { return error }
  return nil
}
