// What auth tells about its master keys, for the calls `keys` and `rotate`: which it holds, how many
// rows are under which, and how the newest rotation fares. Fingerprints and counts; never a key.

/// The master keys that auth holds and the rows under them; never a key.
public struct KeyReport: Codable, Sendable, Equatable {
  /// How many rows of one column are under one key.
  public struct Rows: Codable, Sendable, Equatable {
    /// `table.column`.
    public var column: String
    public var fingerprint: String
    public var count: Int64

    public init(column: String, fingerprint: String, count: Int64) {
      self.column = column
      self.fingerprint = fingerprint
      self.count = count
    }
  }

  /// How far the newest rotation is.
  public struct Rotation: Codable, Sendable, Equatable {
    public var target: String
    /// running, paused, completed, failed.
    public var state: String
    public var total: Int64
    public var done: Int64
    public var failed: Int64
    public var rate: Int64?
    public var startedAt: Int64
    public var finishedAt: Int64?
    public var reason: String?

    public init(target: String, state: String, total: Int64, done: Int64, failed: Int64) {
      self.target = target
      self.state = state
      self.total = total
      self.done = done
      self.failed = failed
      startedAt = 0
    }
  }

  /// The fingerprints of the keys held, in the order of the setting; the last one is active.
  public var fingerprints: [String]
  public var rows: [Rows]
  /// The open one, or the one that ended last.
  public var rotation: Rotation?

  public init(fingerprints: [String], rows: [Rows], rotation: Rotation?) {
    self.fingerprints = fingerprints
    self.rows = rows
    self.rotation = rotation
  }
}
