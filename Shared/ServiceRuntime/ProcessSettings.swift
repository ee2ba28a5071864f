// What the skeleton of a process needs of its settings. Each service makes one from its own,
// typed settings, so that the skeleton knows no setting by name.

import Configuration
import Database
import Glibc
import Logging
import Posix

/// The settings that every service has.
public struct ProcessSettings: Sendable {
  public let common: CommonSettings
  /// Where /livez, /readyz and /metrics are answered.
  public let operations: ListenSetting
  /// Where the service itself listens on TCP: the only other port it may bind.
  public let listener: ListenSetting
  /// Files that may be read again while the process runs (certificates, key files). Their
  /// folders become readable, because a file that is replaced is a new file.
  public let readableFiles: [String]
  /// Folders below the data folder that the service writes; made when they are missing.
  public let writableFolders: [String]
  /// The databases of a service that needs nothing else in the data folder, where auth's key files
  /// lie; nil for auth itself.
  public let databases: [DatabaseFile.Kind]?

  public init(
    common: CommonSettings, operations: ListenSetting, listener: ListenSetting = .unixOnly,
    readableFiles: [String] = [], writableFolders: [String] = [],
    databases: [DatabaseFile.Kind]?
  ) {
    self.common = common
    self.operations = operations
    self.listener = listener
    self.readableFiles = readableFiles
    self.writableFolders = writableFolders
    self.databases = databases
  }

  /// The sandbox that these settings leave open.
  var sandbox: Sandbox {
    var rules = dataRules + [PathRule(common.runDirectory, .readWrite)]
    rules += writableFolders.map { PathRule($0, .readWrite) }
    for file in readableFiles {
      let folder = folder(of: file)
      // A folder around the data would open the key files: then only the file as it is now.
      let isClosed = opensDatabasesAlone && Self.holds(folder, common.dataDirectory)
      rules.append(PathRule(isClosed ? file : folder, .read))
    }
    let ports = [operations, listener].compactMap { listener in
      if case .address(.ip(_, let port)) = listener { port } else { UInt16?.none }
    }
    return Sandbox(paths: rules, bindPorts: ports)
  }

  /// Whether the key files are out of reach: the databases have all their files, which stay the same
  /// while anybody uses them. A service that starts before the first migration gets the whole folder,
  /// because a rule needs a file to stand on.
  var opensDatabasesAlone: Bool {
    databases != nil && databaseFiles.allSatisfy { access($0, F_OK) == 0 }
  }

  private var databaseFiles: [String] {
    (databases ?? []).flatMap { kind in
      let path = DatabaseFile(kind, in: common.dataDirectory).path
      return ["", "-wal", "-shm"].map { path + $0 }
    }
  }

  private var dataRules: [PathRule] {
    let paths = opensDatabasesAlone ? databaseFiles : [common.dataDirectory]
    return paths.map { PathRule($0, .readWrite) }
  }

  /// Whether `inner` is `outer` or lies below it, links followed.
  static func holds(_ outer: String, _ inner: String) -> Bool {
    let outer = real(outer)
    let inner = real(inner)
    return inner.starts(with: outer)
      && (inner.count == outer.count || outer.last == 0x2f || inner[outer.count] == 0x2f)
  }

  private static func real(_ path: String) -> [UInt8] {
    guard let found = realpath(path, nil) else { return Array(path.utf8) }
    defer { free(found) }
    return Array(String(cString: found).utf8)
  }

  private func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
