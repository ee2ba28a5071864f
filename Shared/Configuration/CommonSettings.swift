// The settings that every process reads: where its files are, how it is called from outside, how
// much it logs. The names of files and sockets inside the two folders are decided here, once.

import HTTPCodec
import Logging
import Posix

/// What every process knows.
public struct CommonSettings: Sendable {
  /// Databases and keys; absolute.
  public let dataDirectory: String
  /// Sockets and locks; absolute.
  public let runDirectory: String
  /// The origin of secret URLs, the issuer, the base of callbacks.
  public let publicURL: WebURL
  /// The dashboard's origins, at least one.
  public let adminURLs: [WebURL]
  /// The least weight of log events.
  public let logLevel: LogLevel
  /// Where to say that the process is ready; nil when nobody waits for it.
  public let readyDescriptor: Int32?

  init(_ reader: SettingsReader) throws(ConfigurationError) {
    dataDirectory = try reader.directory(.dataDirectory, "./var/data")
    runDirectory = try reader.directory(.runDirectory, "./var/run")
    let publicURL = try Self.publicURL(reader)
    self.publicURL = publicURL
    adminURLs = try reader.secureOrigins(.adminURL) ?? [publicURL]
    logLevel = try reader.choice(.logLevel, LogLevel.info) { LogLevel(name: $0) }
    readyDescriptor =
      reader.program == .operator ? nil : try reader.descriptor(.readyDescriptor)
  }

  private static func publicURL(_ reader: SettingsReader) throws(ConfigurationError) -> WebURL {
    if let origins = try reader.secureOrigin(.publicURL) { return origins }
    guard case .address(let address) = try reader.listener(.edgeListen) else {
      throw ConfigurationError(.publicURL, "must be set when EDGE_LISTEN is none")
    }
    guard case .ip(let ip, let port) = address, port != 0 else {
      throw ConfigurationError(.publicURL, "must be set when EDGE_LISTEN leaves the port open")
    }
    guard ip.isLoopback, let url = WebURL("http://\(address)") else {
      throw ConfigurationError(.publicURL, "must be set when EDGE_LISTEN is not a loopback address")
    }
    return url
  }

  /// The metadata: people, connections, grants.
  public var databasePath: String { "\(dataDirectory)/bindery.sqlite" }
  /// The sealed tokens.
  public var tokensPath: String { "\(dataDirectory)/tokens.sqlite" }
  /// The master keys that `bindery up` made.
  public var managedKeysPath: String { "\(dataDirectory)/managed-keys.json" }
  /// The signing keys of auth.
  public var signingKeysPath: String { "\(dataDirectory)/signing-keys.json" }
  /// The folder of mails that nobody sends.
  public var outboxPath: String { "\(dataDirectory)/outbox" }
  /// The folder of lock files: beside the data that they guard, so that two processes with run folders
  /// of their own still share them.
  public var locksPath: String { "\(dataDirectory)/locks" }
  /// The shared counters of revocations.
  public var epochsPath: String { "\(runDirectory)/epochs" }
  /// The socket on which a service answers calls of the others.
  public func rpcSocketPath(of program: Program) -> String {
    "\(runDirectory)/\(program.rawValue).rpc.sock"
  }
  /// The socket on which auth and billing take HTTP from the edge.
  public func httpSocketPath(of program: Program) -> String {
    "\(runDirectory)/\(program.rawValue).http.sock"
  }
}

/// The rules of plans; they hold only where billing is on.
public struct PlanSettings: Sendable, Equatable {
  /// How long a new account may connect without paying.
  public let trialDays: Int
  /// How many connections it may have then.
  public let trialConnections: Int
  /// For how long an unpaid subscription still works.
  public let pastDueGraceDays: Int

  init(_ reader: SettingsReader) throws(ConfigurationError) {
    trialDays = try reader.number(.trialDays) ?? 5
    trialConnections = try reader.number(.trialConnections) ?? 2
    pastDueGraceDays = try reader.number(.pastDueGraceDays) ?? 3
  }
}
