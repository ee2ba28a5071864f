// The file of master keys as an operator has it: is it in a fit place, private, and sound? Files in
// a git work tree are refused, because what is there is committed sooner or later. Changed whole or
// not at all, by one tool at a time.

import Bytes
import Configuration
import Glibc
import Posix
import Vault

/// The file that MANAGED_ENCRYPTION_KEYS_FILE names.
struct KeysFile {
  let path: String
  let ring: KeyRing

  /// The fingerprints of its keys; the last one is active.
  var fingerprints: [String] { ring.keys.map(\.fingerprint.description) }
  var active: String { ring.active.fingerprint.description }

  /// Reads and checks the file at `path`.
  init(_ path: String) throws(CommandFailure) {
    let folder = try Self.realFolder(of: path)
    guard !Self.isInGitWorkTree(folder) else {
      throw .fileRefused(
        "the keys file is inside a git work tree; move it and change MANAGED_ENCRYPTION_KEYS_FILE")
    }
    let name = path.utf8.split(separator: UInt8(ascii: "/")).last.map { String($0) ?? "" } ?? ""
    self.path = folder == "/" ? "/\(name)" : "\(folder)/\(name)"
    let text: Secret
    do throws(KeyFileError) {
      // Root reads the file of the services' user; nobody else reads what is not theirs.
      text = try KeyFile.read(self.path, anyOwner: geteuid() == 0)
    } catch { throw .fileRefused(Self.problem(error)) }
    do throws(KeyRingError) {
      ring = try text.withBytes { bytes throws(KeyRingError) in try KeyRing(text: bytes) }
    } catch { throw .fileRefused("the keys file \(MasterKeys.problem(error))") }
  }

  /// Takes one key out of the file.
  func remove(_ fingerprint: KeyFingerprint) throws(CommandFailure) {
    guard let rest = ring.without(fingerprint) else {
      throw .failed("the key cannot be taken out of the file")
    }
    do throws(KeyFileError) { try KeyFile.replace(path, contents: rest.makeText()) } catch {
      throw .failed("the keys file is as it was, for it could not be written: \(error)")
    }
  }

  // MARK: The place

  private static func realFolder(of path: String) throws(CommandFailure) -> String {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    guard let found = realpath(folder, nil) else {
      throw .fileRefused("the keys file cannot be found (\(Errno.last.name))")
    }
    defer { free(found) }
    return String(cString: found)
  }

  /// Whether the folder or one above it has a `.git`: a folder, or a file in a linked work tree.
  static func isInGitWorkTree(_ folder: String) -> Bool {
    var place = folder[...]
    while true {
      var facts = stat()
      if lstat("\(place == "/" ? "" : place)/.git", &facts) == 0 { return true }
      guard let slash = place.lastIndex(of: "/"), place != "/" else { return false }
      place = slash == place.startIndex ? "/" : place[..<slash]
    }
  }

  static func problem(_ error: KeyFileError) -> String {
    switch error {
    case .symbolicLink: "the keys file is a link; name the file itself"
    case .notARegularFile: "the keys file is not a regular file"
    case .foreignOwner: "the keys file belongs to another user; run this as that user or as root"
    case .tooLarge: "the keys file is too large"
    case .openToOthers(let mode):
      "the keys file may be read or written by others than its owner (mode "
        + "\(String(mode, radix: 8))); chmod 600 it"
    case .exists: "the keys file exists"
    case .system(let reason): "the keys file cannot be read (\(reason.name))"
    }
  }
}

/// Keeps other tools from changing files in a folder; the kernel frees it when the process ends.
final class KeysFileLock {
  private let descriptor: Descriptor

  /// Takes the lock for the file at `path`.
  init(_ path: String) throws(CommandFailure) {
    let slash = path.lastIndex(of: "/") ?? path.startIndex
    let folder = slash == path.startIndex ? "/" : String(path[..<slash])
    let number = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard number >= 0 else {
      throw .failed("the folder of the keys file cannot be opened (\(Errno.last.name))")
    }
    descriptor = Descriptor(owning: number)
    guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
      throw .failed("another tool changes the keys file now")
    }
  }
}
