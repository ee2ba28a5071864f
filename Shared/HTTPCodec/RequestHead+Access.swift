// What a handler asks a parsed request head:
// the host, the target, single fields.

extension RequestHead {
  /// The number of field lines.
  public var count: Int { fields.count }

  /// The field line at `index`; unlike a loop over `fields` it copies no table.
  @inline(__always)
  public func field(at index: Int) -> Field { fields[index] }

  /// The first line of `known`, or nil.
  @inline(__always)
  public func first(_ known: KnownField) -> Field? { fields.first(known) }

  /// The value of the first line of `known` in `head`, or nil.
  @inline(__always)
  public func value(
    _ known: KnownField, in head: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    fields.first(known)?.value(in: head)
  }

  /// The method as written.
  public func methodText(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    slice(head, from: methodStart, count: methodCount)
  }

  /// The target as written.
  public func target(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    slice(head, from: targetStart, count: targetCount)
  }

  /// The Host field; empty when an HTTP/1.0 client sent none.
  public func host(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    slice(head, from: hostStart, count: hostCount)
  }

  /// The target's path as written, not decoded; empty for `*`.
  public func rawPath(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    slice(head, from: pathStart, count: pathCount)
  }

  /// The target's query as written, without `?`; nil when there is no `?`.
  public func rawQuery(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    let start = pathStart + pathCount + 1
    let end = targetStart + targetCount
    guard targetForm != .asterisk, start <= end else { return nil }
    return slice(head, from: start, count: end - start)
  }

  /// Path and query as written, whatever form the target has; empty for `*`.
  public func originForm(in head: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    guard targetForm != .asterisk else { return slice(head, from: pathStart, count: 0) }
    return slice(head, from: pathStart, count: targetStart + targetCount - pathStart)
  }

  /// The path, decoded once and in its one canonical form, and the query as written; nil when the
  /// path has another form than its canonical one (see `Target`), or for `*`.
  public func originTarget(
    in head: UnsafeRawBufferPointer
  ) -> (path: String, query: String?)? {
    guard let path = Target.canonicalPath(rawPath(in: head)) else { return nil }
    return (path, rawQuery(in: head).map { String(decoding: $0, as: UTF8.self) })
  }

  /// Whether `field` ends at this connection: by its kind, or because Connection names it. What
  /// carries framing, credentials or routing cannot be taken out by naming it there.
  public func isHopByHop(_ field: Field, in head: UnsafeRawBufferPointer) -> Bool {
    fields.isHopByHop(field, in: head)
  }
}

extension FieldTable {
  func isHopByHop(_ field: Field, in head: UnsafeRawBufferPointer) -> Bool {
    if field.known.isHopByHop { return true }
    guard contains(.connection), field.known == .other else { return false }
    let name = field.name(in: head)
    return contains { line in
      line.known == .connection
        && ListTokens(line.value(in: head)).contains { equalsIgnoringCase($0, name) }
    }
  }
}
