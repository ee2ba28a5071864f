// The only reader of the process's environment. Takes a copy once, at the start, while there is a
// single thread, and wipes the values of secrets where they stood, so that /proc/<pid>/environ,
// a core file or a child does not have them any more.

import Bytes
import Glibc

/// The variables a process was started with.
public struct Environment: Sendable {
  /// Secrets are held apart from the rest, in memory that is wiped.
  private let values: [String: [UInt8]]
  private let secrets: [String: SecretSetting]

  /// Variables of a test or of a parent that composes a child's settings.
  public init(_ variables: [String: String]) {
    var values: [String: [UInt8]] = [:]
    var secrets: [String: SecretSetting] = [:]
    for (name, text) in variables where !text.isEmpty {
      var bytes = Array(text.utf8)
      if Self.isSecretName(name) {
        secrets[name] = SecretSetting(wiping: &bytes)
      } else {
        values[name] = bytes
      }
    }
    self.init(values: values, secrets: secrets)
  }

  private init(values: [String: [UInt8]], secrets: [String: SecretSetting]) {
    self.values = values
    self.secrets = secrets
  }

  /// Copies the process's environment and wipes every value that may be a secret. Called once,
  /// first thing in main, before a second thread exists.
  public static func take() -> Environment {
    var values: [String: [UInt8]] = [:]
    var secrets: [String: SecretSetting] = [:]
    var entry = environ
    while let text = entry.pointee {
      let bytes = UnsafeRawBufferPointer(start: text, count: strlen(text))
      if let equals = bytes.firstIndex(of: UInt8(ascii: "=")) {
        let name = String(decoding: bytes[..<equals], as: UTF8.self)
        let value = UnsafeMutableRawBufferPointer(
          start: text + equals + 1, count: bytes.count - equals - 1)
        if isSecretName(name), !value.isEmpty {
          secrets[name] = SecretSetting(copying: UnsafeRawBufferPointer(value))
          wipe(value)
        } else if !value.isEmpty {
          values[name] = Array(value)
        }
      }
      entry += 1
    }
    return Environment(values: values, secrets: secrets)
  }

  /// Whether a variable of that name holds a secret: a declared one, or a client secret.
  static func isSecretName(_ name: String) -> Bool {
    if name.hasSuffix("_CLIENT_SECRET") { return true }
    return Setting.all.contains {
      $0.isSecret && $0.name.description.utf8.elementsEqual(name.utf8)
    }
  }

  /// The value of a variable that is no secret; an empty one counts as not set.
  public subscript(name: String) -> [UInt8]? { values[name] }

  /// The value of a variable that is a secret; an empty one counts as not set.
  func secret(_ name: String) -> SecretSetting? { secrets[name] }

  /// This environment with other values for some variables, none of them secret; an empty value
  /// takes a variable away.
  public func setting(_ changes: [String: String]) -> Environment {
    precondition(!changes.keys.contains(where: Self.isSecretName), "secrets are not set like this")
    var values = values
    for (name, text) in changes { values[name] = text.isEmpty ? nil : Array(text.utf8) }
    return Environment(values: values, secrets: secrets)
  }

  /// The names of all variables that have a value.
  public var names: [String] { (Array(values.keys) + Array(secrets.keys)).sorted() }
}
