// Keeps the write-ahead log of one database short: a thread that runs rounds of CheckpointPair,
// often and small. One process runs it (the scheduler); a second one would be safe, only useless.

import CLinux
import Clocks
import Glibc
import Posix
import Synchronization

/// The checkpointer of one database.
public final class Checkpointer: Sendable {
  /// What is known of the checkpointer's work.
  public struct Status: Sendable {
    /// The last round that did not fail.
    public var last = CheckpointReport()
    /// Rounds that found the write lock held throughout, or the disk full.
    public var vainRounds = 0
    /// Why it ended by itself; a process that sees this should end too.
    public var failure: DatabaseError?
  }

  private let status = Mutex(Status())
  private let bell: Bell

  /// Opens two connections to `file` on a new thread and waits until they are open.
  /// - Parameter period: time between rounds; deleted bytes leave the log within two idle rounds.
  /// - Throws: what opening a connection throws.
  public init(
    _ file: DatabaseFile, every period: Duration = .milliseconds(250)
  ) throws(DatabaseError) {
    let bell = try Bell()
    self.bell = bell
    let outcome = OpenOutcome()
    // The thread keeps `self` until it ends, so that status outlives a forgetful owner's reference.
    WorkQueue.startThread(named: "checkpointer") { [self] in
      let pair: CheckpointPair
      do throws(DatabaseError) {
        pair = try CheckpointPair(file)
      } catch {
        return outcome.set(error)
      }
      outcome.set(nil)
      run(pair, every: period)
      bell.answer()
    }
    if let error = outcome.wait() { throw error }
  }

  /// What is known of the work so far.
  public var current: Status { status.withLock { $0 } }

  /// Runs a round soon, without waiting for the period: after bytes were deleted.
  public func hurry() { bell.ring(.hurry) }

  /// Ends the thread after last rounds and waits for it. Blocks: not for event loops.
  public func stop() {
    bell.ring(.stop)
    bell.waitForAnswer()
  }

  private func run(_ pair: CheckpointPair, every period: Duration) {
    var roundsLeft: Int?
    while roundsLeft != 0 {
      if let left = roundsLeft {
        roundsLeft = left - 1
      } else if bell.wait(atMost: period) == .stop {
        roundsLeft = 2  // one more copies the log, one begins it anew
      }
      do throws(DatabaseError) {
        let report = try pair.round()
        status.withLock { $0.last = report }
      } catch {
        guard error.isTransient else {
          status.withLock { $0.failure = error }
          return
        }
        status.withLock { $0.vainRounds += 1 }
      }
    }
  }
}

/// Wakes one thread out of its pause.
private final class Bell: Sendable {
  enum Message: UInt64 {
    case none = 0
    case hurry = 1
    case stop = 0x1_0000_0000
  }

  private let event: Descriptor
  private let answered: Descriptor

  init() throws(DatabaseError) {
    event = try Self.makeEvent()
    answered = try Self.makeEvent()
  }

  private static func makeEvent() throws(DatabaseError) -> Descriptor {
    let number = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    guard number >= 0 else { throw .refused(.inaccessible(errno: errno)) }
    return Descriptor(owning: number)
  }

  func ring(_ message: Message) { eventfd_write(event.number, message.rawValue) }

  func answer() { eventfd_write(answered.number, 1) }

  func waitForAnswer() {
    var request = pollfd(fd: answered.number, events: Int16(POLLIN), revents: 0)
    while poll(&request, 1, -1) != 1 {}
  }

  func wait(atMost period: Duration) -> Message {
    var request = pollfd(fd: event.number, events: Int16(POLLIN), revents: 0)
    let (seconds, attoseconds) = period.components
    let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
    guard poll(&request, 1, Int32(clamping: max(milliseconds, 1))) == 1 else { return .none }
    var value: eventfd_t = 0
    guard eventfd_read(event.number, &value) == 0 else { return .none }
    return value >= Message.stop.rawValue ? .stop : .hurry
  }
}
