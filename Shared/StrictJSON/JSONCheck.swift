// Is this text JSON with one meaning? Stands in front of every decoder: decoders forgive duplicate
// names (the last wins, or the first), deep nesting and bad text, each in its own way. What passes
// here reads alike everywhere. Numbers are checked for their form only, not for their size.

/// Checks that `bytes` are one JSON text (RFC 8259) in valid UTF-8, without duplicate names in an
/// object, and within `limits`. Takes time and memory in proportion to the bytes.
/// - Throws: `JSONError`.
public func checkJSON(
  _ bytes: UnsafeRawBufferPointer, limits: JSONLimits = JSONLimits()
) throws(JSONError) {
  guard bytes.count <= limits.bytesMax else { throw .tooLarge }
  var walk = JSONWalk(bytes, depthMax: limits.depthMax, refusesDuplicates: true)
  try walk.run()
}

/// Whether `checkJSON` takes `bytes`.
public func isWellFormed(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) -> Bool {
  bytes.withUnsafeBytes { bytes in
    do {
      try checkJSON(bytes, limits: limits)
      return true
    } catch { return false }
  }
}
