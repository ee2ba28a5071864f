// Checks a Host field without taking it apart: names byte by byte, IPv6 literals through the full
// parser. Which hosts are ours is not decided here.

extension Authority {
  /// Whether `bytes` is `host` or `host:port` as a Host field may write it.
  static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let first = bytes.first, bytes.count <= 262 else { return false }
    if first == UInt8(ascii: "[") { return Authority(bytes) != nil }
    var index = 0
    while index < bytes.count, ByteSet.host.contains(bytes[index]) { index += 1 }
    guard index > 0, index < bytes.count else { return index > 0 }
    guard bytes[index] == UInt8(ascii: ":"),
      let port = Decimal.parse(UnsafeRawBufferPointer(rebasing: bytes[(index + 1)...]))
    else { return false }
    return (1...65535).contains(port)
  }
}
