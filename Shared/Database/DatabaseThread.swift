// A thread that owns one connection and runs work on it in order, so that event loops never wait
// for a disk or for another process's lock. The queue is bounded: a full one refuses at once.
// Stopping runs what was accepted and refuses what comes later.

import CLinux
import Glibc

/// A connection behind a thread of its own.
public final class DatabaseThread: Sendable {
  private let queue: WorkQueue

  /// Opens `file` for `role` on a new thread and waits until it is open.
  /// - Parameter queueMax: work items that may wait; more are refused with `overloaded`.
  /// - Throws: what opening the connection throws.
  public init(
    _ file: DatabaseFile, as role: ProcessRole, access: Connection.Access = .readWrite,
    patience: Duration = .seconds(5), queueMax: Int = 1024
  ) throws(DatabaseError) {
    let queue = WorkQueue(countMax: queueMax)
    self.queue = queue
    let outcome = OpenOutcome()
    WorkQueue.startThread(named: "db-\(file.kind.rawValue)") {
      let connection: Connection
      do throws(DatabaseError) {
        connection = try Connection(file, as: role, access: access, patience: patience)
      } catch {
        queue.stop()
        return outcome.set(error)
      }
      outcome.set(nil)
      while let batch = queue.next() {
        switch batch {
        case .one(let work): work(connection)
        case .together(let writes): connection.commitTogether(writes)
        }
      }
    }
    if let error = outcome.wait() { throw error }
  }

  deinit { queue.stop() }

  /// Runs `body` with the connection and returns what it returns.
  ///
  /// Cancelling the caller does not stop work that was accepted.
  /// - Throws: what `body` throws; `overloaded` or `stopped` when it was not accepted.
  @discardableResult
  public func run<Result: Sendable>(
    _ body: @escaping @Sendable (Connection) throws(DatabaseError) -> Result
  ) async throws(DatabaseError) -> Result {
    try await submit(body)
  }

  /// Runs `body` with the connection and returns what it returns.
  /// - Throws: what `body` throws; `overloaded` or `stopped` when it was not accepted.
  @discardableResult
  public func run<Result: Sendable, Failure: DatabaseErrorConvertible>(
    _ body: @escaping @Sendable (Connection) throws(Failure) -> Result
  ) async throws(Failure) -> Result {
    try await submit(body)
  }

  private func submit<Value: Sendable, Failure: DatabaseErrorConvertible>(
    _ body: @escaping @Sendable (Connection) throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    let result: Result<Value, Failure> = await withUnsafeContinuation { continuation in
      let refusal = queue.add { connection in
        do throws(Failure) {
          continuation.resume(returning: .success(try body(connection)))
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
      if let refusal { continuation.resume(returning: .failure(Failure(refusal))) }
    }
    return try result.get()
  }

  /// Runs `body` in a transaction that it may share with those of other callers, and returns when it
  /// is durable: many small writes at once cost one wait for the disk. In `body`, `transaction` takes
  /// back its own changes alone.
  /// - Throws: what `body` throws; what the shared transaction failed with; `overloaded` or `stopped`
  ///   when it was not accepted.
  @discardableResult
  public func commit<Value: Sendable, Failure: DatabaseErrorConvertible>(
    _ body: @escaping @Sendable (Connection) throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    let result: Result<Value, Failure> = await withUnsafeContinuation { continuation in
      let write = SharedWrite { connection in
        let result: Result<Value, Failure>
        do throws(Failure) { result = .success(try body(connection)) } catch {
          result = .failure(error)
        }
        return { lost in
          continuation.resume(returning: lost.map { .failure(Failure($0)) } ?? result)
        }
      } refuse: {
        continuation.resume(returning: .failure(Failure($0)))
      }
      if let refusal = queue.add(write) { write.refuse(refusal) }
    }
    return try result.get()
  }

  /// Refuses further work; what was accepted still runs, then the connection closes.
  public func stop() { queue.stop() }

  /// Waits until the thread has ended after `stop`. Blocks: not for event loops.
  public func join() { queue.waitUntilEnded() }
}
