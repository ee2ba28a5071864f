// The log as the rest of the system sees it: an event named in our source, with typed fields.
// Writing an event costs its rendering and one short lock; it never waits for the reader of the
// log. There is no way to log a String, an error's text or a body.

import Clocks

/// Writes log events of one service.
public struct Log: Sendable {
  /// The value of the field `service`.
  public let service: StaticString
  /// Events below this are not written.
  public let level: LogLevel
  private let sink: LogSink?

  /// A log of `service` into `sink`.
  public init(service: StaticString, level: LogLevel, sink: LogSink) {
    self.service = service
    self.level = level
    self.sink = sink
  }

  private init() {
    service = ""
    level = .error
    sink = nil
  }

  /// A log that forgets everything, for tests.
  public static let discarding = Log()

  /// Writes an event that helps to look for something.
  public func debug(
    _ event: StaticString, _ fields: @autoclosure () -> KeyValuePairs<StaticString, LogValue> = [:]
  ) {
    if level <= .debug { write(.debug, event, fields()) }
  }

  /// Writes an event of normal life.
  public func info(_ event: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
    if level <= .info { write(.info, event, fields) }
  }

  /// Writes an event of trouble that was dealt with.
  public func warning(
    _ event: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]
  ) {
    if level <= .warning { write(.warning, event, fields) }
  }

  /// Writes an event on which somebody should act.
  public func error(_ event: StaticString, _ fields: KeyValuePairs<StaticString, LogValue> = [:]) {
    write(.error, event, fields)
  }

  private func write(
    _ level: LogLevel, _ event: StaticString, _ fields: KeyValuePairs<StaticString, LogValue>
  ) {
    guard let sink else { return }
    sink.append(
      LogLine.render(
        milliseconds: UnixTime.milliseconds, level: level, service: service, event: event,
        fields: fields))
  }
}
