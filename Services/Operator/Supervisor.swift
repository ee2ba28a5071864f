// Keeps the four services running as children: starts them, tells when all are ready, starts again
// what died, passes SIGHUP on, and on SIGTERM or SIGINT lets them end in order: first the edge, so
// that its last requests still find the others. One thread and one poll; its own log is a service
// called `up`.

import CLinux
import Clocks
import Configuration
import Glibc
import Logging
import Posix

/// Runs children until a signal ends them all.
final class Supervisor {
  /// A child gets this long to drain before it is killed.
  static let drainSecondsMax = 33

  private enum Phase: Equatable {
    case running
    /// The edge is ending; the others follow when it has.
    case draining(until: Instant)
    /// All are ending.
    case ending(until: Instant)
  }

  private let children: [ChildProcess]
  private let log: Log
  private let whenReady: ([ChildProcess]) -> Void
  private var phase = Phase.running
  private var isAnnounced = false
  private var restartAt: [ObjectIdentifier: Instant] = [:]
  private var status: Int32 = 0
  private var signalsSeen = 0

  /// A supervisor of `children`; `whenReady` is called once, when all are.
  init(_ children: [ChildProcess], log: Log, whenReady: @escaping ([ChildProcess]) -> Void) {
    self.children = children
    self.log = log
    self.whenReady = whenReady
  }

  /// Blocks the signals that `run` reads, so that they end nothing on their own. To be called before
  /// the process has a second thread, which would otherwise take them with their default effect.
  @discardableResult
  static func claimSignals() -> sigset_t {
    signal(SIGPIPE, SIG_IGN)
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGTERM, SIGINT, SIGHUP, SIGCHLD] { sigaddset(&signals, number) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    return signals
  }

  /// Runs until all children have ended for good; gives the status to end with.
  func run() throws(Errno) -> Int32 {
    var signals = Self.claimSignals()
    let inbox = Descriptor(owning: signalfd(-1, &signals, O_CLOEXEC))
    guard inbox.number >= 0 else { throw .last }
    for child in children { start(child) }
    while true {
      if phase != .running, children.allSatisfy({ $0.pid == nil }) { return status }
      waitForEvents(inbox.number)
      obeySignals(inbox.number)
      readReports()
      collectEnded()
      startDue()
      pressOn()
    }
  }

  private func start(_ child: ChildProcess) {
    restartAt[ObjectIdentifier(child)] = nil
    do throws(Errno) {
      try child.start()
      log.info(
        "child_started", ["child": .service(child.program.rawValue), "pid": .count(child.pid ?? 0)])
    } catch {
      log.error(
        "child_not_started", ["child": .service(child.program.rawValue), "errno": .errno(error)])
      scheduleRestart(of: child)
    }
  }

  // MARK: Waiting

  private func waitForEvents(_ inbox: Int32) {
    var watched = [pollfd(fd: inbox, events: Int16(POLLIN), revents: 0)]
    for child in children {
      if let descriptor = child.reportDescriptor {
        watched.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
      }
    }
    var deadlines = Array(restartAt.values)
    switch phase {
    case .running: break
    case .draining(let until), .ending(let until): deadlines.append(until)
    }
    let wait = deadlines.min().map { deadline in
      let left = max(.zero, Instant.now.duration(to: deadline)).components
      return Int32(left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000 + 1)
    }
    poll(&watched, nfds_t(watched.count), wait ?? -1)
  }

  private func obeySignals(_ inbox: Int32) {
    var ready = pollfd(fd: inbox, events: Int16(POLLIN), revents: 0)
    while poll(&ready, 1, 0) == 1 {
      var information = signalfd_siginfo()
      let size = MemoryLayout<signalfd_siginfo>.size
      guard read(inbox, &information, size) == size else { return }
      switch Int32(information.ssi_signo) {
      case SIGHUP:
        log.info("reloading")
        for child in children { child.send(SIGHUP) }
      case SIGTERM, SIGINT: end(status: 0)
      default: break
      }
    }
  }

  // MARK: Reports and deaths

  private func readReports() {
    for child in children {
      guard let descriptor = child.reportDescriptor else { continue }
      var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&ready, 1, 0) == 1, child.readReport() else { continue }
      let time = child.startedAt.duration(to: .now)
      log.info(
        "child_ready", ["child": .service(child.program.rawValue), "took_ms": .duration(time)])
    }
    if !isAnnounced, phase == .running, children.allSatisfy({ $0.report != nil }) {
      isAnnounced = true
      whenReady(children)
    }
  }

  private func collectEnded() {
    for child in children {
      let lifetime = child.startedAt.duration(to: .now)
      guard let status = child.collect() else { continue }
      let exit = status & 0x7f == 0 ? status >> 8 & 0xff : nil
      guard phase == .running else {
        log.info(
          "child_ended",
          ["child": .service(child.program.rawValue), "status": .count(exit ?? -(status & 0x7f))])
        continue
      }
      log.error(
        "child_died",
        [
          "child": .service(child.program.rawValue), "status": .count(exit ?? -(status & 0x7f)),
          "lived_ms": .duration(lifetime),
        ])
      // Before anything ever worked, a refused setting will be refused again.
      if !isAnnounced, exit == ConfigurationError.exitStatus {
        end(status: ConfigurationError.exitStatus)
      } else {
        scheduleRestart(of: child, after: lifetime)
      }
    }
  }

  private func scheduleRestart(of child: ChildProcess, after lifetime: Duration = .zero) {
    let delay = child.restarts.delay(after: lifetime)
    restartAt[ObjectIdentifier(child)] = Instant.now.advanced(by: delay)
  }

  private func startDue() {
    guard phase == .running else { return }
    for child in children {
      if let due = restartAt[ObjectIdentifier(child)], due <= .now { start(child) }
    }
  }

  // MARK: The end

  /// Begins to end, or hurries: a second signal reaches the children as a second signal, a third
  /// kills.
  private func end(status: Int32) {
    signalsSeen += 1
    if signalsSeen > 2 {
      for child in children { child.send(SIGKILL) }
    } else if phase != .running {
      for child in children { child.send(SIGTERM) }
      phase = .ending(until: limit)
    } else {
      log.info("draining")
      self.status = status
      restartAt = [:]
      phase = .draining(until: limit)
      for child in children where child.program == .edge { child.send(SIGTERM) }
    }
  }

  private var limit: Instant { Instant.now.advanced(by: .seconds(Self.drainSecondsMax)) }

  private func pressOn() {
    switch phase {
    case .running: break
    case .draining(let until):
      let isEdgeGone = children.allSatisfy { $0.program != .edge || $0.pid == nil }
      guard isEdgeGone || until <= .now else { return }
      for child in children where child.program != .edge { child.send(SIGTERM) }
      phase = .ending(until: limit)
    case .ending(let until):
      guard until <= .now else { return }
      log.warning("drain_cut")
      for child in children { child.send(SIGKILL) }
      phase = .ending(until: limit)
    }
  }
}
