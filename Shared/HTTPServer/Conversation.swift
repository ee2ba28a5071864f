// The requests of one client connection, one after the other: head, exchange, next head, until
// somebody has had enough. All of it happens in turns on the loop; the connection's task wakes only
// for what must be awaited, such as a connection to an upstream.

import EventLoop

/// How far an exchange came.
public enum Progress {
  /// More can be done after the next unpark of the connection's parker.
  case waits
  /// `work` is needed.
  case needsTask
  /// The answer is out; with `persists` the connection may carry another request, and head and body
  /// were consumed.
  case done(persists: Bool)
}

/// One request and its answer.
public protocol Exchange: AnyObject {
  /// Does what can be done without waiting.
  func advance() -> Progress
  /// Does what `advance` needs a task for; `advance` goes on from `.waits`.
  func work() async -> Progress
}

/// An exchange that a task does from beginning to end.
public final class TaskExchange: Exchange {
  private let body: () async -> Bool

  /// Runs `body`, which tells whether the connection may carry another request.
  public init(_ body: @escaping () async -> Bool) { self.body = body }

  /// Always in need of the task.
  public func advance() -> Progress { .needsTask }
  /// Does it all.
  public func work() async -> Progress { .done(persists: await body()) }
}

/// Answers requests on one loop; made once per loop.
public protocol ExchangeHandler: AnyObject {
  /// Begins to answer the request whose head `connection` just parsed.
  func begin(_ connection: ServerConnection) -> any Exchange
  /// Answers what is no request: a refused head (with its status) or one that came too slowly.
  func refuse(_ connection: ServerConnection, status: Int) async
}

/// What happens on one client connection.
final class Conversation: Attendant {
  private enum Need {
    case end(HeadOutcome)
    case work(any Exchange)
    case close
  }

  /// Requests answered in one go: a client that sends them without end must not own the loop.
  private static let requestsPerTurn = 16

  private let connection: ServerConnection
  private let handler: any ExchangeHandler
  private var exchange: (any Exchange)?
  private var need = Need.close  // what the task is woken for

  init(_ connection: ServerConnection, _ handler: any ExchangeHandler) {
    self.connection = connection
    self.handler = handler
  }

  /// Serves the connection to its end; the caller closes it.
  func run() async {
    connection.expectHead()
    var wakes = 0
    while true {
      // With bytes waiting and room to write, neither a turn nor `work` need ever suspend.
      wakes += 1
      if wakes % Self.requestsPerTurn == 0 { await connection.loop.yield() }
      await connection.parker.attend(self)
      let need = self.need
      self.need = .close  // an exchange that ended holds keys: nothing may keep it
      switch need {
      case .work(let exchange):
        guard case .done(let persists) = await exchange.work() else { continue }
        self.exchange = nil
        guard persists else { return await close() }
        connection.expectHead()
      case .end(.refused(let error)):
        await handler.refuse(connection, status: error.status)
        return await close()
      case .end(.tooSlow):
        await handler.refuse(connection, status: 408)
        return await close()
      case .end: return
      case .close: return await close()
      }
    }
  }

  func turn() -> Bool {
    for _ in 0..<Self.requestsPerTurn {
      if exchange == nil {
        guard let outcome = connection.nextHead() else { return true }
        guard case .request = outcome else { return leave(.end(outcome)) }
        exchange = handler.begin(connection)
      }
      guard let exchange else { return true }
      switch exchange.advance() {
      case .waits: return true
      case .needsTask: return leave(.work(exchange))
      case .done(let persists):
        self.exchange = nil
        guard persists else { return leave(.close) }
        connection.expectHead()
      }
    }
    connection.parker.unpark()
    return true
  }

  private func leave(_ need: Need) -> Bool {
    self.need = need
    return false
  }

  private func close() async {
    if connection.stream.isOpen && !connection.isCut { await connection.closeAfterAnswer() }
  }
}
