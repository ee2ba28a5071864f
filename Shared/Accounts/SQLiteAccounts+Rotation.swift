// The statements about key rotation. All of them run on the one thread on which auth writes, so that
// between a look at the fingerprints and what follows in the same transaction nothing is written.

import Clocks
import Database

extension SQLiteAccounts: RotationStore {
  /// Rotations that ended this long ago are forgotten.
  private static let keptSeconds: Int64 = 30 * 86_400

  public func sealedCounts() async throws(AccountError) -> [SealedCount] {
    try await snapshot { (database) throws(AccountError) in try database.sealedCounts() }
  }

  public func rotation() async throws(AccountError) -> KeyRotation? {
    try await snapshot { (database) throws(AccountError) in try database.newestRotation() }
  }

  public func startRotation(
    to target: String, rate: Int64?, now: UnixTime
  ) async throws(AccountError) -> KeyRotation {
    try await transaction { (database) throws(AccountError) in
      try database.change(
        "DELETE FROM key_rotations WHERE finished_at < ?",
        [.integer(now.seconds - Self.keptSeconds)])
      if let open = try database.newestRotation(), open.isOpen {
        if open.target == target {
          try database.change(
            "UPDATE key_rotations SET state = 'running', rate = ?, updated_at = ? WHERE id = ?",
            [.optional(rate), .integer(now.seconds), .text(open.id.text)])
          return try database.rotation(open.id)
        }
        try database.fail(open.id, .superseded, now)
      }
      let id = RotationID.random()
      let total = try database.sealedCounts().reduce(0) {
        $0 + ($1.fingerprint == target ? 0 : $1.count)
      }
      try database.change(
        """
        INSERT INTO key_rotations
          (id, target_fingerprint, state, total, rate, started_at, updated_at)
        VALUES (?, ?, 'running', ?, ?, ?, ?)
        """,
        [
          .text(id.text), .text(target), .integer(total), .optional(rate), .integer(now.seconds),
          .integer(now.seconds),
        ])
      try database.note(.rotationBegun, at: now, user: nil, others: [("key", target)])
      return try database.rotation(id)
    }
  }

  public func holdRotation(
    _ isHeld: Bool, rate: Int64?, now: UnixTime
  ) async throws(AccountError) -> KeyRotation {
    try await transaction { (database) throws(AccountError) in
      guard let open = try database.newestRotation(), open.isOpen else { throw .notFound }
      try database.change(
        "UPDATE key_rotations SET state = ?, rate = coalesce(?, rate), updated_at = ? WHERE id = ?",
        [
          .text((isHeld ? KeyRotation.State.paused : .running).rawValue), .optional(rate),
          .integer(now.seconds), .text(open.id.text),
        ])
      return try database.rotation(open.id)
    }
  }

  public func failRotation(
    _ id: RotationID, because reason: KeyRotation.Reason, now: UnixTime
  ) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      try database.fail(id, reason, now)
    }
  }

  public func beginPass(_ id: RotationID, now: UnixTime) async throws(AccountError) {
    try await transaction { (database) throws(AccountError) in
      _ = try database.change(
        "UPDATE key_rotations SET failed = 0, updated_at = ? WHERE id = ?",
        [.integer(now.seconds), .text(id.text)])
    }
  }

  public func sealedRows(
    _ column: MasterSealedColumn, under fingerprint: String, after place: Int64, countMax: Int64
  ) async throws(AccountError) -> [SealedRow] {
    try await snapshot { (database) throws(AccountError) in
      try database.every(
        column.paging, [.text(fingerprint), .integer(place), .integer(countMax)]
      ) { (row) throws(AccountError) in
        SealedRow(
          place: try RowReading.integer(row, 0), id: try RowReading.text(row, 1),
          owner: try RowReading.text(row, 2), sealed: try RowReading.blob(row, 3))
      }
    }
  }

  public func replace(
    _ rows: [RewrappedRow], in column: MasterSealedColumn, unreadable: Int64,
    rotation id: RotationID, now: UnixTime
  ) async throws(AccountError) -> (replaced: Int64, rotation: KeyRotation) {
    try await transaction { (database) throws(AccountError) in
      let rotation = try database.rotation(id)
      guard rotation.state == .running else { return (0, rotation) }
      var replaced: Int64 = 0
      for each in rows {
        replaced += Int64(
          try database.change(
            column.replacing,
            [
              .blob(each.sealed), .text(rotation.target), .integer(each.row.place),
              .text(each.row.id), .blob(each.row.sealed),
            ]))
      }
      try database.change(
        """
        UPDATE key_rotations SET done = done + ?, failed = failed + ?, updated_at = ?
        WHERE id = ?
        """,
        [
          .integer(replaced), .integer(unreadable), .integer(now.seconds), .text(id.text),
        ])
      return (replaced, try database.rotation(id))
    }
  }

  public func finishRotation(
    _ id: RotationID, unreadable: Int64, now: UnixTime
  ) async throws(AccountError) -> KeyRotation {
    try await transaction { (database) throws(AccountError) in
      let rotation = try database.rotation(id)
      guard rotation.state == .running else { return rotation }
      let left = try database.sealedCounts().reduce(0) {
        $0 + ($1.fingerprint == rotation.target ? 0 : $1.count)
      }
      guard left <= unreadable else { return rotation }
      if left > 0 {
        try database.change(
          "UPDATE key_rotations SET failed = ? WHERE id = ?", [.integer(left), .text(id.text)])
        try database.fail(id, .rowsUnreadable, now)
      } else {
        try database.change(
          """
          UPDATE key_rotations SET state = 'completed', failed = 0, updated_at = ?, finished_at = ?
          WHERE id = ?
          """, [.integer(now.seconds), .integer(now.seconds), .text(id.text)])
        try database.note(.rotationEnded, at: now, user: nil, others: [("key", rotation.target)])
      }
      return try database.rotation(id)
    }
  }

  public func whileNothingIsWritten<Result: Sendable>(
    _ body: @escaping @Sendable ([SealedCount]) -> Result
  ) async throws(AccountError) -> Result {
    try await snapshot { (database) throws(AccountError) in body(try database.sealedCounts()) }
  }
}

extension Connection {
  fileprivate func sealedCounts() throws(AccountError) -> [SealedCount] {
    var all: [SealedCount] = []
    for column in MasterSealedColumn.allCases {
      all += try every(column.counting, []) { (row) throws(AccountError) in
        SealedCount(
          column: column, fingerprint: try RowReading.text(row, 0),
          count: try RowReading.integer(row, 1))
      }
    }
    return all
  }

  /// The open one, else the one that began last.
  fileprivate func newestRotation() throws(AccountError) -> KeyRotation? {
    try one(
      """
      SELECT id, target_fingerprint, state, total, done, failed, rate, started_at, updated_at,
        finished_at, reason
      FROM key_rotations ORDER BY finished_at IS NULL DESC, started_at DESC, rowid DESC LIMIT 1
      """, []
    ) { (row) throws(AccountError) in try KeyRotation(row) }
  }

  fileprivate func rotation(_ id: RotationID) throws(AccountError) -> KeyRotation {
    let found = try one(
      """
      SELECT id, target_fingerprint, state, total, done, failed, rate, started_at, updated_at,
        finished_at, reason
      FROM key_rotations WHERE id = ?
      """, [.text(id.text)]
    ) { (row) throws(AccountError) in try KeyRotation(row) }
    guard let found else { throw .notFound }
    return found
  }

  fileprivate func fail(
    _ id: RotationID, _ reason: KeyRotation.Reason, _ now: UnixTime
  ) throws(AccountError) {
    try change(
      """
      UPDATE key_rotations SET state = 'failed', reason = ?, updated_at = ?, finished_at = ?
      WHERE id = ? AND finished_at IS NULL
      """,
      [
        .text(reason.rawValue), .integer(now.seconds), .integer(now.seconds), .text(id.text),
      ])
  }
}

extension KeyRotation {
  /// Eleven columns, in the order of the two statements above.
  fileprivate init(_ row: borrowing Row) throws(AccountError) {
    guard let state = State(rawValue: try RowReading.text(row, 2)) else { throw .recordMalformed }
    id = try RowReading.identifier(row, 0)
    target = try RowReading.text(row, 1)
    self.state = state
    total = try RowReading.integer(row, 3)
    done = try RowReading.integer(row, 4)
    failed = try RowReading.integer(row, 5)
    rate = row.isNull(6) ? nil : try RowReading.integer(row, 6)
    startedAt = UnixTime(seconds: try RowReading.integer(row, 7))
    updatedAt = UnixTime(seconds: try RowReading.integer(row, 8))
    finishedAt = try RowReading.time(row, 9)
    reason = row.isNull(10) ? nil : try RowReading.text(row, 10)
  }
}
