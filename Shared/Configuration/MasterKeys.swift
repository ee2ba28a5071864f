// The master keys of the managed mode as a setting: where they come from, and how a bad ring is
// told to the operator: the entry by its place, never its value. Reading the ring itself is Vault's.

import Vault

/// The master keys as they were given.
public struct MasterKeys: Sendable {
  /// The ring; its last key is the active one.
  public let ring: KeyRing
  /// The file they came from, to be read again on SIGHUP; nil when they came another way.
  public let file: String?

  /// Keys from the text of MANAGED_ENCRYPTION_KEYS.
  init(json secret: SecretSetting, file: String?, setting: String) throws(ConfigurationError) {
    ring = try Self.ring(setting) { () throws(KeyRingError) in
      try secret.withBytes { bytes throws(KeyRingError) in try KeyRing(text: bytes) }
    }
    self.file = file
  }

  /// The single key of MANAGED_ENCRYPTION_MASTER_KEY.
  init(hex secret: SecretSetting, setting: String) throws(ConfigurationError) {
    ring = try Self.ring(setting) { () throws(KeyRingError) in
      try secret.withBytes { bytes throws(KeyRingError) in try KeyRing(singleKey: bytes) }
    }
    file = nil
  }

  /// Reads the file anew, after the operator changed it.
  public func reread() throws(ConfigurationError) -> MasterKeys {
    guard let file else { return self }
    return try Self.read(file: file)
  }

  /// Keys from a file such as the one that `bindery up` makes.
  public static func read(file: String) throws(ConfigurationError) -> MasterKeys {
    let name = Setting.managedKeys.fileName
    let json: SecretSetting?
    do throws(SettingFileError) {
      json = try SettingFile.readSecret(file)
    } catch {
      throw ConfigurationError(name, "names a file that cannot be read")
    }
    guard let json else { throw ConfigurationError(name, "names an empty file") }
    return try MasterKeys(json: json, file: file, setting: name)
  }

  private static func ring(
    _ setting: String, _ make: () throws(KeyRingError) -> KeyRing
  ) throws(ConfigurationError) -> KeyRing {
    do throws(KeyRingError) {
      return try make()
    } catch {
      var entry: Int?
      if case .entry(let number, _) = error { entry = number }
      throw ConfigurationError(setting, problem(error), entry: entry)
    }
  }

  /// What is wrong with a ring, as a sentence that names the entry and never its value.
  public static func problem(_ error: KeyRingError) -> String {
    switch error {
    case .malformed: "must be a JSON array of {\"key\":\"<64 hex digits>\"}"
    case .empty: "has no key"
    case .tooMany: "has more than \(KeyRing.keysMax) keys"
    case .entry(let number, let reason):
      switch reason {
      case .malformed: "entry \(number) must be {\"key\":\"<64 hex digits>\"}"
      case .length: "entry \(number) is not 64 hex digits long"
      case .notHexadecimal: "entry \(number) has a character that is no hex digit"
      case .allZero: "entry \(number) is all zero"
      case .duplicate(let other): "entry \(number) is the same key as entry \(other)"
      }
    }
  }
}
