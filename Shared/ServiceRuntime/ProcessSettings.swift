// What the skeleton of a process needs of its settings. Each service makes one from its own,
// typed settings, so that the skeleton knows no setting by name.

import Configuration
import Logging
import Posix

/// The settings that every service has.
package struct ProcessSettings: Sendable {
  package let common: CommonSettings
  /// Where /livez, /readyz and /metrics are answered.
  package let operations: ListenSetting
  /// Where the service itself listens on TCP: the only other port it may bind.
  package let listener: ListenSetting
  /// Files that may be read again while the process runs (certificates, key files). Their
  /// folders become readable, because a file that is replaced is a new file.
  package let readableFiles: [String]

  package init(
    common: CommonSettings, operations: ListenSetting, listener: ListenSetting = .unixOnly,
    readableFiles: [String] = []
  ) {
    self.common = common
    self.operations = operations
    self.listener = listener
    self.readableFiles = readableFiles
  }

  /// The sandbox that these settings leave open.
  var sandbox: Sandbox {
    var rules = [
      PathRule(common.dataDirectory, .readWrite), PathRule(common.runDirectory, .readWrite),
    ]
    for file in readableFiles { rules.append(PathRule(folder(of: file), .read)) }
    let ports = [operations, listener].compactMap { listener in
      if case .address(.ip(_, let port)) = listener { port } else { UInt16?.none }
    }
    return Sandbox(paths: rules, bindPorts: ports)
  }

  private func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
