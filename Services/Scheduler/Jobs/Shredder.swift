// Destroys the token blobs of connections that are gone: one at a time when auth says so, and
// all that a sweep finds, so that a lost call costs seconds and not a leak. Never destroys the
// blob of a live connection, whoever asks. The bytes leave row and page at once and the log at
// the next checkpoint.

import Accounts
import Clocks
import Database
import Logging
import ServiceRuntime
import Vault

/// The owner of token blobs, as far as their end is concerned.
actor Shredder {
  static let pageMax = 500

  private let bindery: DatabaseThread
  private let tokens: DatabaseThread
  private let log: Log
  private let afterwards: @Sendable () -> Void
  private var ledger = OrphanLedger()

  /// - Parameter afterwards: called when bytes were destroyed and the log should be emptied.
  init(
    bindery: DatabaseThread, tokens: DatabaseThread, log: Log,
    afterwards: @escaping @Sendable () -> Void
  ) {
    self.bindery = bindery
    self.tokens = tokens
    self.log = log
    self.afterwards = afterwards
  }

  /// What came of a request to destroy one blob.
  enum Outcome: Equatable {
    case shredded
    /// There was none.
    case nothing
    /// The connection is alive, or its provider is to be told; nothing was destroyed.
    case refused
  }

  /// Destroys the blob of one connection that is revoked or gone.
  func shred(_ connection: String) async throws(DatabaseError) -> Outcome {
    let presence = try await presence(of: [connection])
    switch presence.first {
    case .live, .parting, nil: return .refused
    case .revoked, .absent: break
    }
    let gone = try await destroy([connection])
    log.info("blob_shredded", ["connection": .idPrefix(connection), "count": .count(gone)])
    return gone > 0 ? .shredded : .nothing
  }

  /// Destroys the blob of a connection whose provider was told.
  func destroyParted(_ connection: String) async throws(DatabaseError) -> Bool {
    try await destroy([connection]) > 0
  }

  /// Walks through all blobs and destroys the orphans; gives their number.
  func sweep() async throws(DatabaseError) -> Int {
    var last = ""
    var total = 0
    while true {
      let after = last
      let page = try await tokens.run { (database) throws(DatabaseError) in
        try TokenStore(database).connections(after: after, limit: Shredder.pageMax)
      }
      guard let end = page.last else { break }
      let states = try await presence(of: page)
      let now = Instant.now
      var condemned: [String] = []
      for (connection, state) in zip(page, states)
      where ledger.condemns(connection, state, at: now, on: .now) {
        condemned.append(connection)
      }
      if !condemned.isEmpty { total += try await destroy(condemned) }
      last = end
    }
    ledger.endSweep()
    if total > 0 { log.info("orphans_shredded", ["count": .count(total)]) }
    return total
  }

  private func presence(of connections: [String]) async throws(DatabaseError)
    -> [ConnectionPresence]
  {
    try await bindery.run { (database) throws(DatabaseError) in
      try database.snapshot { () throws(DatabaseError) in
        var states: [ConnectionPresence] = []
        for connection in connections { states.append(try .of(connection, in: database)) }
        return states
      }
    }
  }

  private func destroy(_ connections: [String]) async throws(DatabaseError) -> Int {
    let gone = try await tokens.run { (database) throws(DatabaseError) in
      try database.transaction { () throws(DatabaseError) in
        var gone = 0
        for connection in connections where try TokenStore(database).shred(connection) {
          gone += 1
        }
        return gone
      }
    }
    if gone > 0 { afterwards() }
    return gone
  }
}

extension Job {
  /// Every blob is looked at, often: what is revoked must be gone within a minute.
  static func orphanBlobs(_ shredder: Shredder, _ readiness: Readiness) -> Job {
    Job(name: .orphanBlobs, intervalSeconds: 20) { (_) throws(JobFailure) in
      do throws(DatabaseError) {
        let gone = try await shredder.sweep()
        readiness.note(holds: .tokens)
        return JobReport(counts: [("shredded", Int64(gone))])
      } catch {
        readiness.note(broken: .tokens, because: error.label)
        throw .database(error)
      }
    }
  }
}
