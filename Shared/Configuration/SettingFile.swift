// Reads a file that a setting names: a secret, a catalogue, a certificate. Bounded, and the only
// place where Configuration touches the file system. A path /proc/self/fd/<n> is an inherited
// descriptor, by which `bindery up` hands secrets to a child; it is closed after reading.

import Bytes
import Glibc
import Posix

/// Why a file that a setting names could not be used.
enum SettingFileError: Error, Equatable {
  case unreadable(Errno)
  case tooLong
  case notAFile
}

/// Files that settings name.
enum SettingFile {
  static let bytesMax = 1 << 20

  static func read(_ path: String) throws(SettingFileError) -> [UInt8] {
    let number = open(path, O_RDONLY | O_CLOEXEC)
    guard number >= 0 else { throw .unreadable(.last) }
    let descriptor = Descriptor(owning: number)
    var status = stat()
    guard fstat(descriptor.number, &status) == 0 else { throw .unreadable(.last) }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw .notAFile }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = Glibc.read(descriptor.number, &piece, piece.count)
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        throw .unreadable(.last)
      }
      bytes.append(contentsOf: piece[..<count])
      guard bytes.count <= bytesMax else { throw .tooLong }
    }
    return bytes
  }

  /// The longest secret that a file may hold.
  static let secretBytesMax = 1 << 16

  /// What is in a file that holds a secret, without one line break at its end; nil when that is
  /// nothing. No copy is left behind.
  static func readSecret(_ path: String) throws(SettingFileError) -> SecretSetting? {
    let number = open(path, O_RDONLY | O_CLOEXEC)
    guard number >= 0 else { throw .unreadable(.last) }
    let descriptor = Descriptor(owning: number)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: secretBytesMax, alignment: 16)
    defer {
      wipe(buffer)
      buffer.deallocate()
    }
    var filled = 0
    while filled < buffer.count {
      let count = Glibc.read(
        descriptor.number, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
      if count == 0 { break }
      if count > 0 {
        filled += count
      } else if errno == EISDIR {
        throw .notAFile
      } else if errno != EINTR {
        throw .unreadable(.last)
      }
    }
    guard filled < buffer.count else { throw .tooLong }
    if let inherited = inheritedDescriptor(path) { close(inherited) }
    var content = UnsafeRawBufferPointer(rebasing: buffer[..<filled])[...]
    if content.last == 0x0a { content.removeLast() }
    if content.last == 0x0d { content.removeLast() }
    return content.isEmpty ? nil : SecretSetting(copying: UnsafeRawBufferPointer(rebasing: content))
  }

  /// The number in `/proc/self/fd/<n>`.
  static func inheritedDescriptor(_ path: String) -> Int32? {
    let prefix = "/proc/self/fd/"
    guard path.hasPrefix(prefix) else { return nil }
    let digits = path.utf8.dropFirst(prefix.utf8.count)
    guard let number = ValueParser.decimal(Array(digits)), (3...65_535).contains(number) else {
      return nil
    }
    return Int32(number)
  }
}
