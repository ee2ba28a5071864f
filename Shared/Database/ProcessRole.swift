// Names the processes that open databases.
// What each may write is TableOwnership's to say.

/// The process that opens a database.
public enum ProcessRole: String, CaseIterable, Sendable {
  case edge, auth, billing, scheduler
  /// The operator's tool, which alone runs migrations.
  case operatorTool = "operator"
}
