// A growable run of bytes between a reader and a writer: sockets fill its end, parsers eat its
// front. Not Sendable: one loop or thread owns it. Growth is the caller's to bound.

import Glibc

/// Bytes waiting to be read, with room to write more.
public final class Buffer {
  @usableFromInline var base: UnsafeMutableRawPointer
  /// The bytes that fit without growing; 0 while the memory is given back.
  public private(set) var capacity: Int
  @usableFromInline var readIndex = 0
  @usableFromInline var writeIndex = 0
  @usableFromInline var highWater = 0  // the furthest byte written since the last wipe
  private let pool: BufferPool?

  /// An empty buffer with room for `capacity` bytes.
  public init(capacity: Int) {
    precondition(capacity > 0)
    base = .allocate(byteCount: capacity, alignment: 16)
    self.capacity = capacity
    pool = nil
  }

  /// An empty buffer that borrows memory from `pool` from the first byte until `release`.
  public init(pool: BufferPool) {
    base = pool.nowhere
    capacity = 0
    self.pool = pool
  }

  deinit {
    clear(wiping: true)
    free()
  }

  /// Forgets all bytes and wipes the memory; borrowed memory goes back, and the next byte borrows it
  /// anew.
  public func release() {
    guard capacity > 0 else { return }
    clear(wiping: true)
    guard let pool else { return }
    free()
    base = pool.nowhere
    capacity = 0
  }

  private func free() {
    guard capacity > 0 else { return }
    if let pool, capacity == pool.blockBytes { pool.giveBack(base) } else { base.deallocate() }
  }

  /// The number of bytes to read.
  @inlinable public var count: Int { @inline(__always) get { writeIndex - readIndex } }
  /// Whether nothing is left to read.
  @inlinable public var isEmpty: Bool { @inline(__always) get { writeIndex == readIndex } }
  /// The bytes to read; valid until the next call that writes.
  @inlinable public var readable: UnsafeRawBufferPointer {
    @inline(__always) get {
      UnsafeRawBufferPointer(start: base + readIndex, count: writeIndex - readIndex)
    }
  }
  /// The room behind the last byte; fill it and call `produce`.
  @inlinable public var writable: UnsafeMutableRawBufferPointer {
    @inline(__always) get {
      UnsafeMutableRawBufferPointer(start: base + writeIndex, count: capacity - writeIndex)
    }
  }

  /// Marks `count` bytes of `writable` as written.
  @inlinable public func produce(_ count: Int) {
    precondition(count >= 0 && writeIndex + count <= capacity)
    writeIndex += count
  }

  /// Drops `count` bytes from the front.
  @inlinable public func consume(_ count: Int) {
    precondition(count >= 0 && count <= self.count)
    readIndex += count
    if readIndex == writeIndex {
      if writeIndex > highWater { highWater = writeIndex }
      readIndex = 0
      writeIndex = 0
    }
  }

  /// Forgets all bytes; with `wiping` also zeroes every byte written since the last wipe.
  public func clear(wiping: Bool = false) {
    if wiping {
      explicit_bzero(base, max(writeIndex, highWater))
      highWater = 0
    }
    readIndex = 0
    writeIndex = 0
  }

  /// Makes room for `count` more bytes, by moving the bytes to the front or growing.
  @inlinable public func reserve(_ count: Int) {
    if capacity - writeIndex < count { makeRoom(count) }
  }

  @usableFromInline func makeRoom(_ count: Int) {
    let held = self.count
    if capacity == 0, let pool, count <= pool.blockBytes {
      base = pool.take()
      capacity = pool.blockBytes
    } else if capacity - held >= count {
      memmove(base, base + readIndex, held)
    } else {
      var grown = max(capacity * 2, 64)
      while grown - held < count { grown *= 2 }
      let fresh = UnsafeMutableRawPointer.allocate(byteCount: grown, alignment: 16)
      if held > 0 { fresh.copyMemory(from: base + readIndex, byteCount: held) }
      explicit_bzero(base, max(writeIndex, highWater))  // heads and tokens pass through here
      highWater = 0
      free()
      base = fresh
      capacity = grown
    }
    readIndex = 0
    writeIndex = held
  }

  /// Appends a copy of `bytes`.
  @inlinable public func append(_ bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress, bytes.count > 0 else { return }
    reserve(bytes.count)
    (base + writeIndex).copyMemory(from: source, byteCount: bytes.count)
    writeIndex += bytes.count
  }

  /// Appends the UTF-8 of a literal.
  @inlinable public func append(_ text: StaticString) {
    append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// Appends `bytes`.
  public func append(_ bytes: [UInt8]) { bytes.withUnsafeBytes { append($0) } }

  /// Appends the UTF-8 of `text`.
  public func append(text: String) {
    var text = text
    text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
  }

  /// Appends one byte.
  @inlinable public func append(byte: UInt8) {
    reserve(1)
    (base + writeIndex).storeBytes(of: byte, as: UInt8.self)
    writeIndex += 1
  }

  /// Appends `value` in decimal digits.
  public func append(decimal value: UInt64) {
    append(value, radix: 10)
  }

  /// Appends `value` in lower-case hexadecimal digits.
  public func append(hexadecimal value: UInt64) {
    append(value, radix: 16)
  }

  private func append(_ value: UInt64, radix: UInt64) {
    reserve(20)
    var rest = value
    var length = 0
    repeat {
      let digit = UInt8(truncatingIfNeeded: rest % radix)
      let character = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
      (base + writeIndex + length).storeBytes(of: character, as: UInt8.self)
      rest /= radix
      length += 1
    } while rest > 0
    var low = writeIndex
    var high = writeIndex + length - 1
    while low < high {
      let byte = base.load(fromByteOffset: low, as: UInt8.self)
      base.storeBytes(
        of: base.load(fromByteOffset: high, as: UInt8.self), toByteOffset: low, as: UInt8.self)
      base.storeBytes(of: byte, toByteOffset: high, as: UInt8.self)
      low += 1
      high -= 1
    }
    writeIndex += length
  }
}
