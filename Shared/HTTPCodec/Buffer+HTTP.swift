// Writes the small parts of heads: status lines, fields, dates, chunk frames. Values come from our
// own code or from parsed heads; a value with a control byte is a bug of ours and stops the
// process, because sent it would be a second header.

import Bytes

extension Buffer {
  /// Appends `HTTP/1.1 status phrase` and its line end.
  public func append(statusLine status: Int) {
    precondition((100...599).contains(status))
    append("HTTP/1.1 ")
    append(decimal: UInt64(status))
    append(byte: 0x20)
    append(StatusPhrase.of(status))
    append("\r\n")
  }

  /// Appends a parsed field as a line of its own.
  public func append(_ field: Field, of head: UnsafeRawBufferPointer) {
    if let line = field.plainLine(in: head) { return append(line) }
    append(field.name(in: head))
    append(": ")
    append(field.value(in: head))
    append("\r\n")
  }

  /// Appends one field line.
  public func append(field name: StaticString, _ value: UnsafeRawBufferPointer) {
    precondition(
      value.baseAddress.map {
        FieldValue.isClean(UnsafeRawBufferPointer(start: $0, count: value.count))
      } ?? true)
    append(name)
    append(": ")
    append(value)
    append("\r\n")
  }

  /// Appends one field line.
  public func append(field name: StaticString, _ value: StaticString) {
    append(
      field: name, UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
  }

  /// Appends one field line.
  public func append(field name: StaticString, text value: String) {
    var value = value
    value.withUTF8 { append(field: name, UnsafeRawBufferPointer($0)) }
  }

  /// Appends one field line with a number.
  public func append(field name: StaticString, decimal value: UInt64) {
    append(name)
    append(": ")
    append(decimal: value)
    append("\r\n")
  }

  /// Appends `piece` as one chunk; nothing when it is empty, because that would end the body.
  public func append(chunk piece: UnsafeRawBufferPointer) {
    guard !piece.isEmpty else { return }
    append(hexadecimal: UInt64(piece.count))
    append("\r\n")
    append(piece)
    append("\r\n")
  }

  /// Appends the chunk that ends a body.
  public func appendLastChunk() { append("0\r\n\r\n") }

  /// Appends seconds since 1970 as RFC 9110 5.6.7 writes them: `Sun, 06 Nov 1994 08:49:37 GMT`.
  public func append(httpDate seconds: Int64) {
    let date = HTTPDate(seconds)
    append(HTTPDate.weekdays[date.weekday])
    append(twoDigits: date.day)
    append(HTTPDate.months[date.month - 1])
    append(twoDigits: date.year / 100)
    append(twoDigits: date.year % 100)
    append(byte: 0x20)
    append(twoDigits: date.second / 3600)
    append(byte: UInt8(ascii: ":"))
    append(twoDigits: date.second / 60 % 60)
    append(byte: UInt8(ascii: ":"))
    append(twoDigits: date.second % 60)
    append(" GMT")
  }

  private func append(twoDigits value: Int) {
    append(byte: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / 10 % 10))
    append(byte: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10))
  }
}

/// What field names may be made of.
public enum FieldName {
  /// Whether these are one or more bytes of a token (RFC 9110 5.1).
  public static func isClean(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.allSatisfy { ByteSet.token.contains($0) }
  }
}

/// What field values may hold.
public enum FieldValue {
  /// Whether no byte is a control other than a tab.
  public static func isClean(_ value: String) -> Bool {
    var value = value
    return value.withUTF8 { isClean(UnsafeRawBufferPointer($0)) }
  }

  /// Whether no byte is a control other than a tab.
  public static func isClean(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let base = value.baseAddress else { return true }
    var index = 0
    while true {
      index = LineScanner.controlIndex(base, from: index, to: value.count)
      guard index < value.count else { return true }
      guard value[index] == UInt8(ascii: "\t") else { return false }
      index += 1
    }
  }
}

enum StatusPhrase {
  static func of(_ status: Int) -> StaticString {
    switch status {
    case 100: "Continue"
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 304: "Not Modified"
    case 307: "Temporary Redirect"
    case 308: "Permanent Redirect"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 402: "Payment Required"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 406: "Not Acceptable"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 410: "Gone"
    case 411: "Length Required"
    case 413: "Content Too Large"
    case 414: "URI Too Long"
    case 415: "Unsupported Media Type"
    case 417: "Expectation Failed"
    case 421: "Misdirected Request"
    case 422: "Unprocessable Content"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    default: ""
    }
  }
}
