// The tool's line to auth about master keys: asks, waits for the answer, and says in words when
// there is none. What crosses it are fingerprints and counts.

import Configuration
import EventLoop
import Glibc
import Logging
import Posix
import RPC
import ServiceRuntime

/// A line to auth.
final class AuthKeys {
  private let loop: EventLoop
  private let client: RPCClient

  init(_ common: CommonSettings) throws(CommandFailure) {
    do throws(Errno) { loop = try EventLoop(name: "keys") } catch {
      throw .failed("no event loop (\(error.name))")
    }
    loop.start()
    let directory = common.runDirectory
    var status = stat()
    let group = stat(directory, &status) == 0 ? status.st_gid : getegid()
    client = RPCClient(
      to: .auth, as: .operator, build: Build.version.description, runDirectory: directory,
      policy: PeerPolicy(userID: geteuid(), groupID: group), loop: loop, log: .discarding)
  }

  deinit { loop.stop() }

  /// What auth holds; nil when it does not answer now.
  func reportIfReachable() -> KeyReport? {
    try? call(KeysCall.self, KeysCall.Request()).get()
  }

  /// What auth holds.
  func report() throws(CommandFailure) -> KeyReport {
    do throws(RPCError) { return try call(KeysCall.self, KeysCall.Request()).get() } catch {
      throw Self.failure(error)
    }
  }

  /// Asks auth to do something; `problem` says why it did not.
  func rotate(
    _ action: RotateCall.Request.Action, fingerprint: String? = nil, rate: Int64? = nil
  ) throws(CommandFailure) -> RotateCall.Response {
    let request = RotateCall.Request(action, fingerprint: fingerprint, rate: rate)
    do throws(RPCError) { return try call(RotateCall.self, request).get() } catch {
      throw Self.failure(error)
    }
  }

  private func call<C: Call>(
    _: C.Type, _ request: C.Request
  ) -> Result<C.Response, RPCError> {
    let client = client
    return LoopWait.run(on: loop) {
      do throws(RPCError) { return .success(try await client.call(C.self, request)) } catch {
        return .failure(error)
      }
    }
  }

  private static func failure(_ error: RPCError) -> CommandFailure {
    switch error {
    case .unreachable, .wrongPeer:
      .failed("auth does not answer; is it running, and is BINDERY_RUN_DIR the same?")
    case .refused(_, .unknownCall), .refused(_, .notAllowed):
      .failed("auth does not know this call; is it as new as this tool?")
    default: .failed("auth did not answer as it should; bindery status says how it is")
    }
  }
}
