// Compares secrets without telling by the time taken where they differ.
// Only the length may show.

/// Whether two byte strings are equal, in a time that depends on their length alone.
@inline(never)
public func constantTimeEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  guard a.count == b.count else { return false }
  var difference: UInt8 = 0
  for index in 0..<a.count { difference |= a[index] ^ b[index] }
  return difference == 0
}

/// Whether two byte strings are equal, in a time that depends on their length alone.
public func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
  a.withUnsafeBytes { a in b.withUnsafeBytes { b in constantTimeEqual(a, b) } }
}
