// Opens the file of signing keys, and makes it when there is none yet: whoever starts first. Two
// processes that start together end with the same file, because a name is taken only once.

import Bytes
import Glibc
import JOSE
import Posix
import ServiceRuntime
import Vault

/// The file `signing-keys.json`.
enum SigningKeysFile {
  /// The keys in the file at `path`.
  static func open(_ path: String) throws(StartFailure) -> SigningKeys {
    do throws(KeyFileError) {
      return try parse(try KeyFile.read(path))
    } catch {
      guard error == .system(Errno(code: ENOENT)) else { throw .service("signing_keys_refused") }
    }
    do throws(KeyFileError) {
      var text = SigningKeys.generateFile()
      try KeyFile.create(path, contents: Secret(wiping: &text))
    } catch {
      guard error == .exists else { throw .service("signing_keys_not_made") }
    }
    do throws(KeyFileError) {
      return try parse(try KeyFile.read(path))
    } catch { throw .service("signing_keys_refused") }
  }

  private static func parse(_ text: borrowing Secret) throws(KeyFileError) -> SigningKeys {
    var bytes = text.withBytes { [UInt8]($0) }
    defer { bytes.withUnsafeMutableBytes { wipe($0) } }
    do throws(JOSEError) { return try SigningKeys(file: bytes) } catch { throw .notARegularFile }
  }
}
