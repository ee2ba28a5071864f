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
  /// - Parameter anyOwner: whether it may be someone else's, as it is for root's tools.
  public static func read(
    _ path: String, anyOwner: Bool = false
  ) throws(KeyFileError) -> Secret {
    let number = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard number >= 0 else { throw errno == ELOOP ? .symbolicLink : .system(.last) }
    let file = Descriptor(owning: number)
    var facts = stat()
    guard fstat(file.number, &facts) == 0 else { throw .system(.last) }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile }
    guard anyOwner || facts.st_uid == geteuid() else { throw .foreignOwner }
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
    let draft = try draft(of: path, contents, as: nil)
    defer { unlink(draft) }
    // link(2), unlike rename(2), never replaces.
    guard link(draft, path) == 0 else { throw errno == EEXIST ? .exists : .system(.last) }
    try syncFolder(of: path)
  }

  /// Puts `contents` in the place of the file at `path`, durably and whole or not at all; owner,
  /// group and mode stay.
  public static func replace(_ path: String, contents: borrowing Secret) throws(KeyFileError) {
    var facts = stat()
    guard lstat(path, &facts) == 0 else { throw .system(.last) }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile }
    let draft = try draft(of: path, contents, as: facts)
    guard rename(draft, path) == 0 else {
      let reason = Errno.last
      unlink(draft)
      throw .system(reason)
    }
    try syncFolder(of: path)
  }

  /// A durable file beside `path`, private from its first moment on; what an earlier one that was
  /// killed left there is gone.
  private static func draft(
    of path: String, _ contents: borrowing Secret, as original: stat?
  ) throws(KeyFileError) -> String {
    let draft = path + ".new"
    unlink(draft)
    let number = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard number >= 0 else { throw .system(.last) }
    let file = Descriptor(owning: number)
    let written = contents.withBytes { write(file.number, $0.baseAddress, $0.count) }
    let problem: Errno? =
      if written != contents.count {
        written < 0 ? .last : Errno(code: ENOSPC)
      } else if let original, fchown(file.number, original.st_uid, original.st_gid) != 0 {
        .last
      } else if fchmod(file.number, original.map { $0.st_mode & 0o777 } ?? 0o600) != 0 {
        .last
      } else {
        fsync(file.number) == 0 ? nil : .last
      }
    if let problem {
      unlink(draft)
      throw .system(problem)
    }
    return draft
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
