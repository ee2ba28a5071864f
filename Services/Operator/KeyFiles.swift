// Makes the key files of an installation that has none: master keys for the managed mode when no
// setting gives any, and the keys that sign our tokens. Never overwrites, never prints.

import Bytes
import Configuration
import JOSE
import Vault

/// Key files in the data directory.
enum KeyFiles {
  /// Makes what is missing; the environment then names the master key file.
  static func make(
    _ common: CommonSettings, _ environment: Environment
  ) throws(CommandFailure) -> Environment {
    var text = SigningKeys.generateFile()
    try create(common.signingKeysPath, Secret(wiping: &text))
    guard !environment.isSet(.managedKeys), !environment.isSet(.managedMasterKey) else {
      return environment
    }
    try create(common.managedKeysPath, KeyRing.makeText())
    return environment.setting([Setting.managedKeys.fileName: common.managedKeysPath])
  }

  private static func create(
    _ path: String, _ contents: consuming Secret
  ) throws(CommandFailure) {
    do throws(KeyFileError) {
      try KeyFile.create(path, contents: contents)
    } catch {
      if error == .exists { return }
      throw .failed("a key file could not be made in the data directory: \(error)")
    }
  }
}
