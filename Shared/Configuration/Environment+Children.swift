// Which part of the environment a child of `bindery up` gets: what its program is declared to read,
// a few variables of the system, and nothing else. Secrets are taken out, for the parent to hand
// over by a descriptor instead of by the child's environment.

import Bytes
import Providers

/// What one child is given.
public struct ChildSettings: Sendable {
  /// Variables for its environment; no secret is among them.
  public var variables: [String: [UInt8]]
  /// Secrets by the name of their setting; the child finds each by `<name>_FILE`.
  public var secrets: [(name: String, value: SecretSetting)]
}

extension Environment {
  /// Variables that are not ours and that a child needs: where programs, libraries, trust roots,
  /// temporary files and the time zone are found.
  private static let systemNames: Set<String> = [
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE",
    "SSL_CERT_DIR",
  ]

  /// Whether a setting is given, by value or by file.
  public func isSet(_ setting: Setting) -> Bool {
    setting.isSecret
      ? secret("\(setting.name)") != nil || self[setting.fileName] != nil
      : self["\(setting.name)"] != nil
  }

  /// What `program` may have of this environment.
  public func childSettings(for program: Program, catalogue: Catalogue) -> ChildSettings {
    var child = ChildSettings(variables: [:], secrets: [])
    for name in Self.systemNames { child.variables[name] = self[name] }
    // The crash handler prints memory; a service never wants it.
    child.variables["SWIFT_BACKTRACE"] = Array("enable=no".utf8)
    for setting in Setting.all where setting.readers.contains(program) {
      give("\(setting.name)", isSecret: setting.isSecret, to: &child)
    }
    if program == .auth || program == .scheduler {
      for provider in catalogue.providers where provider.oauth?.registration == .static {
        give(provider.clientIDSetting, isSecret: false, to: &child)
        give(provider.clientSecretSetting, isSecret: true, to: &child)
      }
    }
    return child
  }

  private func give(_ name: String, isSecret: Bool, to child: inout ChildSettings) {
    guard isSecret else {
      child.variables[name] = self[name]
      return
    }
    child.variables["\(name)_FILE"] = self["\(name)_FILE"]
    if let value = secret(name) { child.secrets.append((name, value)) }
  }
}
