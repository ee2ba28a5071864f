// Reads and creates files that hold keys. A file that others may read, that is not ours, or that a
// link points to is refused: whoever could have swapped it could have chosen the key.

import Bytes
import Clocks
import Glibc
import Posix

/// Why a key file was refused.
public enum KeyFileError: Error, Equatable, Sendable {
  case symbolicLink, notARegularFile, foreignOwner, tooLarge
  /// Someone besides the owner may read or write it.
  case openToOthers(mode: UInt32)
  /// A new file's name is taken.
  case exists
  case system(Errno)
}

/// Files of keys: mode 0600 or 0400, ours, no link.
public enum KeyFile {
  /// More than any key file holds.
  public static let bytesMax = 64 * 1024

  /// The contents of the file at `path`.
  public static func read(_ path: String) throws(KeyFileError) -> Secret {
    let number = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard number >= 0 else { throw errno == ELOOP ? .symbolicLink : .system(.last) }
    let file = Descriptor(owning: number)
    var facts = stat()
    guard fstat(file.number, &facts) == 0 else { throw .system(.last) }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile }
    guard facts.st_uid == geteuid() else { throw .foreignOwner }
    guard facts.st_mode & 0o177 == 0 else { throw .openToOthers(mode: facts.st_mode & 0o777) }
    guard facts.st_size <= bytesMax else { throw .tooLarge }
    var contents = [UInt8](repeating: 0, count: Int(facts.st_size))
    var filled = 0
    while filled < contents.count {
      let count = contents.withUnsafeMutableBytes {
        Glibc.read(file.number, $0.baseAddress.map { $0 + filled }, $0.count - filled)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .system(.last) }
      guard count > 0 else { break }
      filled += count
    }
    guard filled == contents.count else { throw .system(Errno(code: EIO)) }
    return Secret(wiping: &contents)
  }

  /// Creates the file at `path`, mode 0600, with `contents`, durably and whole or not at all.
  /// - Throws: `exists` when the name is taken; nothing is ever overwritten.
  public static func create(_ path: String, contents: borrowing Secret) throws(KeyFileError) {
    let draft = path + ".new"
    unlink(draft)
    let number = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard number >= 0 else { throw .system(.last) }
    let file = Descriptor(owning: number)
    defer { unlink(draft) }
    let written = contents.withBytes { bytes in
      write(file.number, bytes.baseAddress, bytes.count)
    }
    guard written == contents.count else {
      throw .system(written < 0 ? .last : Errno(code: ENOSPC))
    }
    guard fchmod(file.number, 0o600) == 0, fsync(file.number) == 0 else { throw .system(.last) }
    // link(2), unlike rename(2), never replaces.
    guard link(draft, path) == 0 else { throw errno == EEXIST ? .exists : .system(.last) }
    try syncFolder(of: path)
  }

  private static func syncFolder(of path: String) throws(KeyFileError) {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let folder = slash.map { String(path[..<$0]) } ?? "."
    let number = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard number >= 0 else { throw .system(.last) }
    let descriptor = Descriptor(owning: number)
    guard fsync(descriptor.number) == 0 else { throw .system(.last) }
  }
}

extension KeyRing {
  /// The text of a ring with one fresh key, for a new key file.
  public static func makeText() -> Secret {
    let before: StaticString = "[{\"key\":\""
    let after: StaticString = "\"}]\n"
    let start = before.utf8CodeUnitCount
    return Secret(count: start + 64 + after.utf8CodeUnitCount) { text in
      for index in 0..<start { text[index] = before.utf8Start[index] }
      for index in 0..<after.utf8CodeUnitCount {
        text[start + 64 + index] = after.utf8Start[index]
      }
      withUnsafeTemporaryAllocation(byteCount: 32, alignment: 16) { key in
        defer { wipe(key) }
        Randomness.fill(key)
        for index in 0..<64 {  // digits in place: no String keeps a copy
          let digit = index % 2 == 0 ? key[index / 2] >> 4 : key[index / 2] & 15
          text[start + index] = digit < 10 ? digit + 0x30 : digit - 10 + 0x61
        }
      }
    }
  }
}
