// What the probe does between start and death: it writes what it is told, says so, and waits to
// be killed. What must hold afterwards is checked by the tests.

import Clocks
import Database
import Glibc

enum Probe {
  /// Runs this build's migrations; 0 when done.
  static func migrate(_ folder: String) -> Int32 {
    do throws(DatabaseError) {
      _ = try MigrationRunner(directory: folder).run()
      return 0
    } catch {
      return report(error)
    }
  }

  /// Commits `count` rows and acknowledges each after its commit; goes on after a full disk.
  static func write(_ folder: String, worker: String, count: Int) -> Int32 {
    do throws(DatabaseError) {
      let connection = try Connection(
        DatabaseFile(.bindery, in: folder), as: .auth, patience: .seconds(30))
      for number in 0..<count {
        do throws(DatabaseError) {
          try connection.transaction { () throws(DatabaseError) in
            try connection.execute(
              "INSERT INTO users (name, photo) VALUES (?, randomblob(500))",
              .text("\(worker)-\(number)"))
          }
          say("\(worker)-\(number)")
        } catch .full {
          say("full")
        }
      }
      return 0
    } catch {
      return report(error)
    }
  }

  /// Commits like `write`, eight rows at once that may share a transaction. Each third takes itself
  /// back after it wrote a row that nobody may ever see.
  static func share(_ folder: String, worker: String, count: Int) async -> Int32 {
    do throws(DatabaseError) {
      let thread = try DatabaseThread(
        DatabaseFile(.bindery, in: folder), as: .auth, patience: .seconds(30))
      for first in stride(from: 0, to: count, by: 8) {
        await withTaskGroup(of: Void.self) { group in
          for number in first..<min(first + 8, count) {
            group.addTask { await share(thread, "\(worker)-\(number)", isKept: number % 3 != 0) }
          }
        }
      }
      return 0
    } catch {
      return report(error)
    }
  }

  private static func share(_ thread: DatabaseThread, _ name: String, isKept: Bool) async {
    do throws(DatabaseError) {
      try await thread.commit { (connection) throws(DatabaseError) in
        try connection.transaction { () throws(DatabaseError) in
          try connection.execute(
            "INSERT INTO users (name, photo) VALUES (?, randomblob(500))", .text(name))
          guard isKept else { throw .overloaded }
        }
      }
      say(name)
    } catch .overloaded {
    } catch {
      _ = report(error)
    }
  }

  /// Commits like `write`, and waits after every third row until the log was copied and begun anew.
  static func copy(_ folder: String, worker: String, count: Int) -> Int32 {
    let file = DatabaseFile(.bindery, in: folder)
    do throws(DatabaseError) {
      let checkpointer = try Checkpointer(file, every: .milliseconds(1))
      for number in 0..<count where write(folder, worker: "\(worker)\(number)", count: 3) == 0 {
        let deadline = Instant.now.advanced(by: .seconds(10))
        while file.logBytes > 5000, Instant.now < deadline,
          checkpointer.current.failure == nil
        {
          usleep(200)
        }
      }
      checkpointer.stop()
      if let failure = checkpointer.current.failure { return report(failure) }
      return 0
    } catch {
      return report(error)
    }
  }

  /// Opens for writing without being the file's owner or in its group.
  static func openAsNobody(_ folder: String) -> Int32 {
    if geteuid() == 0 {
      guard setgid(65534) == 0, setuid(65534) == 0 else { return 64 }
    }
    do throws(DatabaseError) {
      _ = try Connection(DatabaseFile(.bindery, in: folder), as: .auth)
      say("opened")
      return 0
    } catch {
      return report(error)
    }
  }

  private static func report(_ error: DatabaseError) -> Int32 {
    switch error {
    case .full: say("full")
    case .disk(let code): say("disk \(code)")
    case .unusable: say("unusable")
    case .readOnly: say("read-only")
    default: say("error: \(error)")
    }
    return 1
  }

  /// One line, at once: a line that the parent has read was written before any death.
  private static func say(_ text: String) {
    var line = text + "\n"
    _ = line.withUTF8 { Glibc.write(1, $0.baseAddress, $0.count) }
  }
}
