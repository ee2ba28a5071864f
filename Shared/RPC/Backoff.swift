// How long to wait before trying a peer again: doubles from 20 ms to 2 s, each wait drawn
// evenly from its upper half, so that four services restarted together do not march in step.
// Pure: the dice come in as an argument.

/// The waits between attempts to reach a peer.
public struct Backoff: Sendable {
  static let first = Duration.milliseconds(20)
  static let longest = Duration.seconds(2)
  private var ceiling = Backoff.first

  public init() {}

  /// The wait before the next attempt.
  /// - Parameter dice: 64 random bits.
  public mutating func next(dice: UInt64) -> Duration {
    let half = ceiling / 2
    let steps = Int64(dice % 1_000)
    let wait = half + half * Int(steps) / 1_000
    ceiling = min(ceiling * 2, Backoff.longest)
    return wait
  }

  /// Starts over after a success.
  public mutating func reset() { ceiling = Backoff.first }
}
