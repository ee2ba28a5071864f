// Acts that a closed sandbox denies, each tried from inside one. Landlock and seccomp bind a
// thread and its descendants, so every test runs on a thread of its own and the rest of the
// test process stays free.

import CLinux
import Configuration
import Database
import Glibc
import Posix
import TestFolders
import Testing

@testable import ServiceRuntime

/// What came of an act: 0 or the errno.
private typealias Verdict = Int32

/// Work for a thread, and its result once the thread is joined.
// Unchecked because the two threads never run at the same time.
private final class Errand<R>: @unchecked Sendable {
  let body: @Sendable () -> R
  var result: R?
  init(_ body: @escaping @Sendable () -> R) { self.body = body }
}

private protocol Runnable: AnyObject { func run() }
extension Errand: Runnable { func run() { result = body() } }

/// Runs `body` on a new thread and gives its result.
private func onThread<R: Sendable>(_ body: @escaping @Sendable () -> R) -> R? {
  let errand = Errand(body)
  let raw = UnsafeMutablePointer<any Runnable>.allocate(capacity: 1)
  raw.initialize(to: errand)
  defer {
    raw.deinitialize(count: 1)
    raw.deallocate()
  }
  var thread = pthread_t()
  let made = pthread_create(
    &thread, nil,
    { raw in
      raw?.assumingMemoryBound(to: (any Runnable).self).pointee.run()
      return nil
    }, raw)
  guard made == 0 else { return nil }
  pthread_join(thread, nil)
  return errand.result
}

private func verdict(_ result: Int) -> Verdict { result < 0 ? errno : 0 }

private func opened(_ path: String, _ flags: Int32, mode: mode_t = 0o600) -> Verdict {
  let descriptor = open(path, flags | O_CLOEXEC, mode)
  let result = verdict(Int(descriptor))
  if descriptor >= 0 { close(descriptor) }
  return result
}

private func bound(port: UInt16) -> Verdict {
  let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(socket) }
  guard let address = SocketAddress("127.0.0.1:\(port)") else { return EINVAL }
  return (try? address.withSockAddr { verdict(Int(bind(socket, $0, $1))) }) ?? EINVAL
}

@Suite("Sandbox") struct SandboxTests {
  /// A fresh folder with `inside/` (ours), `outside/` (not ours) and a file in each.
  private let home = TestFolder("sandbox")
  private var folder: String { home.path }

  init() {
    for name in ["inside", "outside"] {
      mkdir("\(folder)/\(name)", 0o700)
      _ = opened("\(folder)/\(name)/file", O_CREAT | O_WRONLY)
    }
  }

  private static func inSandbox<R: Sendable>(
    _ folder: String, _ body: @escaping @Sendable () -> R
  ) -> (version: Int, result: R)? {
    onThread { () -> (version: Int, result: R)? in
      bindery_prctl(PR_SET_NO_NEW_PRIVS, 1)
      guard
        let version = try? Landlock.enforce(
          Sandbox.common + [PathRule("\(folder)/inside", .readWrite)], bindPorts: [0])
      else { return nil }
      return (version, body())
    } ?? nil
  }

  @Test("lets a process do what its settings say") func allowed() throws {
    let folder = folder
    let verdicts = try #require(
      Self.inSandbox(folder) {
        [
          opened("\(folder)/inside/file", O_RDWR),
          opened("\(folder)/inside/new", O_CREAT | O_RDWR | O_TRUNC),
          verdict(Int(rename("\(folder)/inside/new", "\(folder)/inside/newer"))),
          verdict(Int(unlink("\(folder)/inside/newer"))),
          verdict(Int(mkdir("\(folder)/inside/sub", 0o700))),
          opened("/etc/hosts", O_RDONLY),
          opened("/etc/ssl/certs", O_RDONLY | O_DIRECTORY),
          opened("/dev/null", O_RDWR),
          bound(port: 0),
        ]
      })
    #expect(verdicts.result == [Verdict](repeating: 0, count: 9))
  }

  @Test("denies files outside the folders of the settings") func files() throws {
    let folder = folder
    let outcome = try #require(
      Self.inSandbox(folder) {
        [
          opened("\(folder)/outside/file", O_RDONLY),
          opened("\(folder)/outside/new", O_CREAT | O_WRONLY),
          opened("/etc/hosts", O_WRONLY),
          opened("/usr/bin/env", O_RDONLY),
          opened("/tmp", O_RDONLY | O_DIRECTORY),
          verdict(Int(unlink("\(folder)/outside/file"))),
          verdict(Int(mkdir("\(folder)/outside/sub", 0o700))),
          verdict(Int(symlink("/etc/passwd", "\(folder)/inside/link"))),
        ]
      })
    guard outcome.version > 0 else { return }  // no Landlock in this kernel: nothing is promised
    for verdict in outcome.result { #expect(verdict == EACCES) }
  }

  /// What a service of the database `bindery` may open of `names` in its folder.
  private func opens(
    _ names: [String], in folder: String, databases: [DatabaseFile.Kind]? = [.bindery],
    reading file: String? = nil
  ) throws -> [Verdict]? {
    let settings = try BillingSettings(
      Environment([
        "BINDERY_DATA_DIR": "\(folder)/inside", "BINDERY_RUN_DIR": "\(folder)/outside",
      ]))
    let paths = ProcessSettings(
      common: settings.common, operations: .unixOnly, readableFiles: file.map { [$0] } ?? [],
      databases: databases
    ).sandbox.paths
    let outcome = onThread { () -> (Int, [Verdict])? in
      bindery_prctl(PR_SET_NO_NEW_PRIVS, 1)
      guard let version = try? Landlock.enforce(paths, bindPorts: []) else { return nil }
      return (version, names.map { opened("\(folder)/\($0)", O_RDONLY) })
    }
    let (version, verdicts) = try #require(outcome ?? nil)
    return version > 0 ? verdicts : nil
  }

  @Test("opens the databases of a service and no key file beside them") func databases() throws {
    let folder = folder
    let names = [
      "inside/bindery.sqlite", "inside/bindery.sqlite-wal", "inside/bindery.sqlite-shm",
      "inside/tokens.sqlite", "inside/file", "inside", "settings.json", "other.json",
    ]
    for name in names { _ = opened("\(folder)/\(name)", O_CREAT | O_WRONLY) }
    let no = EACCES
    // The settings' folder holds the data folder, so the file itself is all that is opened.
    guard let verdicts = try opens(names, in: folder, reading: "\(folder)/settings.json") else {
      return
    }
    #expect(verdicts == [0, 0, 0, no, no, no, 0, no])
    #expect(try opens(names, in: folder) == [0, 0, 0, no, no, no, no, no])
    let auths = try opens(names, in: folder, databases: nil, reading: "\(folder)/settings.json")
    #expect(auths == [Verdict](repeating: 0, count: 8))
    // Before the first migration there is no file for a rule to stand on.
    unlink("\(folder)/inside/bindery.sqlite-wal")
    #expect(try opens(names, in: folder) == [0, ENOENT, 0, 0, 0, 0, no, no])
  }

  @Test("knows a folder around another, links followed") func holding() {
    let folder = folder
    symlink("\(folder)/inside", "\(folder)/link")
    for (outer, inner, expected) in [
      ("inside", "inside", true), ("inside", "inside/file", true), ("link", "inside/file", true),
      ("inside", "link", true), ("outside", "inside", false), ("in", "inside", false),
      ("inside/file", "inside", false), ("", "inside", true),
    ] {
      let found = ProcessSettings.holds("\(folder)/\(outer)", "\(folder)/\(inner)")
      #expect(found == expected, "\(outer) and \(inner)")
    }
    #expect(ProcessSettings.holds("/", folder))
  }

  @Test("denies ports that the settings do not name") func ports() throws {
    let outcome = try #require(Self.inSandbox(folder) { bound(port: 18_999) })
    guard outcome.version >= 4 else { return }
    #expect(outcome.result == EACCES)
  }

  @Test("denies the system calls that no service makes") func calls() throws {
    let verdicts = onThread { () -> [Verdict]? in
      bindery_prctl(PR_SET_NO_NEW_PRIVS, 1)
      guard (try? SystemCallFilter.install()) == true else { return nil }
      var arguments: [UnsafeMutablePointer<CChar>?] = [nil]
      return [
        verdict(Int(execve("/nonexistent", &arguments, &arguments))),
        verdict(bindery_call(Int(SYS_mount), 0, 0, 0)),
        verdict(bindery_call(Int(SYS_chroot), 0, 0, 0)),
        verdict(bindery_call(Int(SYS_umount2), 0, 0, 0)),
        verdict(bindery_call(Int(SYS_setns), -1, 0, 0)),
        verdict(bindery_call(Int(SYS_unshare), 0, 0, 0)),
        verdict(bindery_call(Int(SYS_personality), 0xFFFF_FFFF, 0, 0)),
        verdict(bindery_call(Int(SYS_ptrace), 0, 0, 0)),
        verdict(bindery_call(Int(SYS_bpf), 0, 0, 0)),
        verdict(bindery_call(425, 1, 0, 0)),  // io_uring_setup
      ]
    }
    guard let verdicts = verdicts ?? nil else { return }  // no filter on this architecture
    for (index, verdict) in verdicts.enumerated() { #expect(verdict == EPERM, "act \(index)") }
  }

  @Test("leaves threads, sockets and randomness usable under the filter") func usable() {
    let works = onThread { () -> Bool in
      bindery_prctl(PR_SET_NO_NEW_PRIVS, 1)
      guard (try? SystemCallFilter.install()) != nil else { return false }
      return onThread {
        var word: UInt64 = 0
        return bound(port: 0) == 0 && getrandom(&word, 8, 0) == 8
      } ?? false
    }
    #expect(works == true)
  }
}
